# The cluster: Entra ID for people, workload identities for pods, no passwords of its own.

resource "azurerm_user_assigned_identity" "cluster" {
  name                = "${var.place.prefix}-cluster"
  location            = var.place.region
  resource_group_name = var.place.group
  tags                = var.place.tags
}

# It joins nodes and internal load balancers to the subnet, and nothing else.
resource "azurerm_role_assignment" "cluster_joins_subnet" {
  scope                = var.subnet_id
  role_definition_name = "Network Contributor"
  principal_id         = azurerm_user_assigned_identity.cluster.principal_id
}

resource "azurerm_kubernetes_cluster" "main" {
  name                              = "${var.place.prefix}-cluster"
  location                          = var.place.region
  resource_group_name               = var.place.group
  dns_prefix                        = var.place.prefix
  kubernetes_version                = var.cluster.version
  sku_tier                          = var.cluster.tier
  automatic_upgrade_channel         = "patch"
  node_os_upgrade_channel           = "NodeImage"
  role_based_access_control_enabled = true
  local_account_disabled            = true
  oidc_issuer_enabled               = true
  workload_identity_enabled         = true
  azure_policy_enabled              = true
  private_cluster_enabled           = var.cluster.private
  run_command_enabled               = false
  image_cleaner_enabled             = true
  image_cleaner_interval_hours      = 168
  tags                              = var.place.tags

  default_node_pool {
    name                         = "system"
    vm_size                      = var.cluster.size
    vnet_subnet_id               = var.subnet_id
    zones                        = var.zones
    auto_scaling_enabled         = true
    min_count                    = length(var.zones)
    max_count                    = 2 * length(var.zones)
    max_pods                     = 50
    os_sku                       = "AzureLinux"
    os_disk_type                 = "Ephemeral"
    os_disk_size_gb              = 60
    host_encryption_enabled      = true
    only_critical_addons_enabled = true
    temporary_name_for_rotation  = "rotation"
    tags                         = var.place.tags

    upgrade_settings {
      max_surge = "33%"
    }
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.cluster.id]
  }

  azure_active_directory_role_based_access_control {
    azure_rbac_enabled     = true
    admin_group_object_ids = [var.administrators.id]
  }

  dynamic "api_server_access_profile" {
    for_each = var.cluster.private ? [] : [var.operator_networks]

    content {
      authorized_ip_ranges = api_server_access_profile.value
    }
  }

  network_profile {
    network_plugin      = "azure"
    network_plugin_mode = "overlay"
    network_policy      = "cilium"
    network_data_plane  = "cilium"
    pod_cidr            = "10.244.0.0/16"
    service_cidr        = "10.245.0.0/16"
    dns_service_ip      = "10.245.0.10"
    load_balancer_sku   = "standard"
    outbound_type       = "userAssignedNATGateway"
  }

  workload_autoscaler_profile {
    keda_enabled = true
  }

  key_vault_secrets_provider {
    secret_rotation_enabled  = true
    secret_rotation_interval = "2m"
  }

  oms_agent {
    log_analytics_workspace_id      = var.workspace_id
    msi_auth_for_monitoring_enabled = true
  }

  maintenance_window_auto_upgrade {
    frequency   = "Weekly"
    interval    = 1
    duration    = 4
    day_of_week = "Sunday"
    start_time  = "03:00"
    utc_offset  = "+09:00"
  }

  lifecycle {
    ignore_changes = [default_node_pool[0].node_count]
  }

  depends_on = [azurerm_role_assignment.cluster_joins_subnet]
}

resource "azurerm_kubernetes_cluster_node_pool" "work" {
  name                    = "work"
  kubernetes_cluster_id   = azurerm_kubernetes_cluster.main.id
  vm_size                 = var.cluster.size
  vnet_subnet_id          = var.subnet_id
  zones                   = var.zones
  auto_scaling_enabled    = true
  min_count               = var.cluster.nodes.min
  max_count               = var.cluster.nodes.max
  max_pods                = 50
  os_sku                  = "AzureLinux"
  os_disk_type            = "Ephemeral"
  os_disk_size_gb         = 60
  host_encryption_enabled = true
  tags                    = var.place.tags

  upgrade_settings {
    max_surge = "33%"
  }

  lifecycle {
    ignore_changes = [node_count]
  }
}

output "id" {
  value = azurerm_kubernetes_cluster.main.id
}

output "issuer" {
  value = azurerm_kubernetes_cluster.main.oidc_issuer_url
}
