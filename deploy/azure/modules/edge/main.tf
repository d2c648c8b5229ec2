# Application Gateway with its firewall: it decrypts, and a request that looks like an attack goes no further.

resource "azurerm_public_ip" "main" {
  name                = "${var.place.prefix}-edge"
  location            = var.place.region
  resource_group_name = var.place.group
  allocation_method   = "Static"
  sku                 = "Standard"
  zones               = var.zones
  tags                = var.place.tags
}

resource "azurerm_user_assigned_identity" "main" {
  name                = "${var.place.prefix}-edge"
  location            = var.place.region
  resource_group_name = var.place.group
  tags                = var.place.tags
}

resource "azurerm_role_assignment" "reads_certificate" {
  scope                = var.vault_id
  role_definition_name = "Key Vault Certificate User"
  principal_id         = azurerm_user_assigned_identity.main.principal_id
}

resource "azurerm_web_application_firewall_policy" "main" {
  name                = "${var.place.prefix}-firewall"
  location            = var.place.region
  resource_group_name = var.place.group
  tags                = var.place.tags

  policy_settings {
    enabled                     = true
    mode                        = "Prevention"
    request_body_check          = true
    max_request_body_size_in_kb = 1024
  }

  managed_rules {
    managed_rule_set {
      type    = "Microsoft_DefaultRuleSet"
      version = "2.1"
    }

    managed_rule_set {
      type    = "Microsoft_BotManagerRuleSet"
      version = "1.1"
    }
  }
}

resource "azurerm_application_gateway" "main" {
  name                              = "${var.place.prefix}-edge"
  location                          = var.place.region
  resource_group_name               = var.place.group
  zones                             = var.zones
  firewall_policy_id                = azurerm_web_application_firewall_policy.main.id
  force_firewall_policy_association = true
  http2_enabled                     = true
  tags                              = var.place.tags

  sku {
    name = "WAF_v2"
    tier = "WAF_v2"
  }

  autoscale_configuration {
    min_capacity = var.edge.capacity.min
    max_capacity = var.edge.capacity.max
  }

  # An event of a stream must not wait in a buffer until more have come.
  global {
    request_buffering_enabled  = true
    response_buffering_enabled = false
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.main.id]
  }

  gateway_ip_configuration {
    name      = "subnet"
    subnet_id = var.subnet_id
  }

  frontend_ip_configuration {
    name                 = "public"
    public_ip_address_id = azurerm_public_ip.main.id
  }

  frontend_port {
    name = "https"
    port = 443
  }

  ssl_certificate {
    name                = "page"
    key_vault_secret_id = "${var.vault_uri}secrets/${var.edge.certificate}"
  }

  ssl_policy {
    policy_type = "Predefined"
    policy_name = "AppGwSslPolicy20220101S"
  }

  http_listener {
    name                           = "https"
    frontend_ip_configuration_name = "public"
    frontend_port_name             = "https"
    protocol                       = "Https"
    host_name                      = var.edge.host
    ssl_certificate_name           = "page"
  }

  backend_address_pool {
    name         = "cluster"
    ip_addresses = [var.edge.backend]
  }

  probe {
    name                = "ready"
    protocol            = "Https"
    path                = "/health/ready"
    host                = var.edge.host
    interval            = 10
    timeout             = 5
    unhealthy_threshold = 3
  }

  # TLS again to the gateway of the cluster, whose certificate is of a public authority. A stream sends a line each 15 s. The time-out is the longest silence, and the longest export.
  backend_http_settings {
    name                  = "cluster"
    protocol              = "Https"
    port                  = 443
    host_name             = var.edge.host
    cookie_based_affinity = "Disabled"
    request_timeout       = 3600
    probe_name            = "ready"

    connection_draining {
      enabled           = true
      drain_timeout_sec = 30
    }
  }

  # The address of the caller is what the gateway saw, not what the caller claims.
  rewrite_rule_set {
    name = "forwarded"

    rewrite_rule {
      name          = "forwarded"
      rule_sequence = 100

      request_header_configuration {
        header_name  = "X-Forwarded-For"
        header_value = "{var_client_ip}"
      }
    }
  }

  request_routing_rule {
    name                       = "page"
    rule_type                  = "Basic"
    priority                   = 100
    http_listener_name         = "https"
    backend_address_pool_name  = "cluster"
    backend_http_settings_name = "cluster"
    rewrite_rule_set_name      = "forwarded"
  }

  depends_on = [azurerm_role_assignment.reads_certificate]
}

output "id" {
  value = azurerm_application_gateway.main.id
}
