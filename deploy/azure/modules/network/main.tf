# The virtual network: a subnet for each kind of member, each with rules that allow only what it needs.

locals {
  subnets = {
    nodes     = var.network.nodes
    edge      = var.network.edge
    endpoints = var.network.endpoints
  }

  # A rule: where from, where to, which ports. Everything else within the network is refused by the last rule of each.
  allowed = {
    nodes = {
      edge-to-pods  = { priority = 100, from = var.network.edge, to = var.network.gateway, ports = ["443"] }
      within-nodes  = { priority = 110, from = var.network.nodes, to = var.network.nodes, ports = ["0-65535"] }
      load-balancer = { priority = 120, from = "AzureLoadBalancer", to = "*", ports = ["0-65535"] }
    }
    edge = {
      users         = { priority = 100, from = "Internet", to = var.network.edge, ports = ["443"] }
      management    = { priority = 110, from = "GatewayManager", to = "*", ports = ["65200-65535"] }
      load-balancer = { priority = 120, from = "AzureLoadBalancer", to = "*", ports = ["0-65535"] }
    }
    database = {
      nodes   = { priority = 100, from = var.network.nodes, to = var.network.database, ports = ["5432", "6432"] }
      standby = { priority = 110, from = var.network.database, to = var.network.database, ports = ["5432", "6432"] }
    }
    endpoints = {
      redis = { priority = 100, from = var.network.nodes, to = var.network.endpoints, ports = ["10000"] }
      kafka = { priority = 110, from = var.network.nodes, to = var.network.endpoints, ports = ["9093"] }
      amqp  = { priority = 120, from = var.network.nodes, to = var.network.endpoints, ports = ["5671"] }
      vault = { priority = 130, from = var.network.nodes, to = var.network.endpoints, ports = ["443"] }
      certs = { priority = 140, from = var.network.edge, to = var.network.endpoints, ports = ["443"] }
    }
  }

  rules = merge([
    for subnet, rules in local.allowed : { for name, rule in rules : "${subnet}-${name}" => merge(rule, { subnet = subnet }) }
  ]...)

  dns_zones = {
    database = "${var.place.prefix}.postgres.database.azure.com"
    cache    = "privatelink.redis.azure.net"
    bus      = "privatelink.servicebus.windows.net"
    vault    = "privatelink.vaultcore.azure.net"
  }
}

resource "azurerm_virtual_network" "main" {
  name                = "${var.place.prefix}-network"
  location            = var.place.region
  resource_group_name = var.place.group
  address_space       = [var.network.space]
  tags                = var.place.tags
}

resource "azurerm_subnet" "main" {
  for_each = local.subnets

  name                              = each.key
  resource_group_name               = var.place.group
  virtual_network_name              = azurerm_virtual_network.main.name
  address_prefixes                  = [each.value]
  private_endpoint_network_policies = "Enabled"
  default_outbound_access_enabled   = false
}

resource "azurerm_subnet" "database" {
  name                            = "database"
  resource_group_name             = var.place.group
  virtual_network_name            = azurerm_virtual_network.main.name
  address_prefixes                = [var.network.database]
  default_outbound_access_enabled = false

  delegation {
    name = "postgresql"

    service_delegation {
      name    = "Microsoft.DBforPostgreSQL/flexibleServers"
      actions = ["Microsoft.Network/virtualNetworks/subnets/join/action"]
    }
  }
}

resource "azurerm_network_security_group" "main" {
  for_each = local.allowed

  name                = "${var.place.prefix}-${each.key}"
  location            = var.place.region
  resource_group_name = var.place.group
  tags                = var.place.tags
}

resource "azurerm_network_security_rule" "allow" {
  for_each = local.rules

  name                        = each.key
  resource_group_name         = var.place.group
  network_security_group_name = azurerm_network_security_group.main[each.value.subnet].name
  priority                    = each.value.priority
  direction                   = "Inbound"
  access                      = "Allow"
  protocol                    = "Tcp"
  source_port_range           = "*"
  source_address_prefix       = each.value.from
  destination_address_prefix  = each.value.to
  destination_port_ranges     = each.value.ports
}

# Where no Application Gateway stands before it: operators and testers reach the gateway of the cluster.
resource "azurerm_network_security_rule" "operators" {
  count = length(var.operator_networks) > 0 ? 1 : 0

  name                        = "operators"
  resource_group_name         = var.place.group
  network_security_group_name = azurerm_network_security_group.main["nodes"].name
  priority                    = 200
  direction                   = "Inbound"
  access                      = "Allow"
  protocol                    = "Tcp"
  source_port_range           = "*"
  source_address_prefixes     = var.operator_networks
  destination_port_range      = "443"
  destination_address_prefix  = "*"
}

resource "azurerm_network_security_rule" "deny" {
  for_each = local.allowed

  name                        = "deny-the-rest"
  resource_group_name         = var.place.group
  network_security_group_name = azurerm_network_security_group.main[each.key].name
  priority                    = 4000
  direction                   = "Inbound"
  access                      = "Deny"
  protocol                    = "*"
  source_port_range           = "*"
  source_address_prefix       = "*"
  destination_port_range      = "*"
  destination_address_prefix  = "*"
}

resource "azurerm_subnet_network_security_group_association" "main" {
  for_each = azurerm_subnet.main

  subnet_id                 = each.value.id
  network_security_group_id = azurerm_network_security_group.main[each.key].id
}

resource "azurerm_subnet_network_security_group_association" "database" {
  subnet_id                 = azurerm_subnet.database.id
  network_security_group_id = azurerm_network_security_group.main["database"].id
}

# The way out of the nodes: a fixed address, which the channels' partners can allow.
resource "azurerm_public_ip" "outbound" {
  name                = "${var.place.prefix}-outbound"
  location            = var.place.region
  resource_group_name = var.place.group
  allocation_method   = "Static"
  sku                 = "Standard"
  zones               = [var.zones[0]]
  tags                = var.place.tags
}

resource "azurerm_nat_gateway" "outbound" {
  name                = "${var.place.prefix}-outbound"
  location            = var.place.region
  resource_group_name = var.place.group
  sku_name            = "Standard"
  zones               = [var.zones[0]]
  tags                = var.place.tags
}

resource "azurerm_nat_gateway_public_ip_association" "outbound" {
  nat_gateway_id       = azurerm_nat_gateway.outbound.id
  public_ip_address_id = azurerm_public_ip.outbound.id
}

resource "azurerm_subnet_nat_gateway_association" "nodes" {
  subnet_id      = azurerm_subnet.main["nodes"].id
  nat_gateway_id = azurerm_nat_gateway.outbound.id
}

resource "azurerm_private_dns_zone" "main" {
  for_each = local.dns_zones

  name                = each.value
  resource_group_name = var.place.group
  tags                = var.place.tags
}

resource "azurerm_private_dns_zone_virtual_network_link" "main" {
  for_each = azurerm_private_dns_zone.main

  name                  = each.key
  resource_group_name   = var.place.group
  private_dns_zone_name = each.value.name
  virtual_network_id    = azurerm_virtual_network.main.id
  tags                  = var.place.tags
}

output "id" {
  value = azurerm_virtual_network.main.id
}

output "subnets" {
  value = merge({ for name, subnet in azurerm_subnet.main : name => subnet.id }, { database = azurerm_subnet.database.id })
}

# With the zone comes its link: a server is reached by name only when both exist.
output "dns_zones" {
  value      = { for name, zone in azurerm_private_dns_zone.main : name => zone.id }
  depends_on = [azurerm_private_dns_zone_virtual_network_link.main]
}
