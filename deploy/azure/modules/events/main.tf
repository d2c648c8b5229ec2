# Event Hubs, whose Kafka endpoint is the broker, and Service Bus beside it: the five kinds of messages in each.

locals {
  premium = var.events.service_bus_tier == "Premium"
}

resource "azurerm_eventhub_namespace" "main" {
  name                          = "${var.place.prefix}-events"
  location                      = var.place.region
  resource_group_name           = var.place.group
  sku                           = "Standard"
  capacity                      = var.events.units
  auto_inflate_enabled          = var.events.units_max > var.events.units
  maximum_throughput_units      = var.events.units_max > var.events.units ? var.events.units_max : null
  minimum_tls_version           = "1.2"
  public_network_access_enabled = false
  # Kafka clients log in with a connection string, which belongs to a rule that may only read.
  local_authentication_enabled = true
  tags                         = var.place.tags

  identity {
    type = "SystemAssigned"
  }
}

resource "azurerm_eventhub" "topic" {
  for_each = var.events.partitions

  name            = each.key
  namespace_id    = azurerm_eventhub_namespace.main.id
  partition_count = each.value

  retention_description {
    cleanup_policy          = "Delete"
    retention_time_in_hours = var.events.retention_hours
  }

  lifecycle {
    prevent_destroy = true
  }
}

resource "azurerm_eventhub_namespace_authorization_rule" "hannun" {
  name                = "hannun-reads"
  resource_group_name = var.place.group
  namespace_name      = azurerm_eventhub_namespace.main.name
  listen              = true
  send                = false
  manage              = false
}

resource "azurerm_key_vault_secret" "connection_string" {
  name             = "hannun-kafka-sasl-password"
  key_vault_id     = var.vault_id
  content_type     = "text/plain"
  value_wo         = azurerm_eventhub_namespace_authorization_rule.hannun.primary_connection_string
  value_wo_version = var.secrets_version
  tags             = var.place.tags
}

resource "azurerm_servicebus_namespace" "main" {
  name                          = "${var.place.prefix}-bus"
  location                      = var.place.region
  resource_group_name           = var.place.group
  sku                           = var.events.service_bus_tier
  capacity                      = local.premium ? 1 : 0
  premium_messaging_partitions  = local.premium ? 1 : 0
  minimum_tls_version           = "1.2"
  local_auth_enabled            = false
  public_network_access_enabled = !local.premium
  tags                          = var.place.tags

  identity {
    type = "SystemAssigned"
  }
}

# No time to live: a message that expires is not counted.
resource "azurerm_servicebus_queue" "kind" {
  for_each = var.events.partitions

  name                  = each.key
  namespace_id          = azurerm_servicebus_namespace.main.id
  lock_duration         = "PT1M"
  max_delivery_count    = 10
  max_size_in_megabytes = 5120
}

resource "azurerm_role_assignment" "ingest_receives" {
  for_each = azurerm_servicebus_queue.kind

  scope                = each.value.id
  role_definition_name = "Azure Service Bus Data Receiver"
  principal_id         = var.reader_id
}

# Azure tells the length of a queue only to those who may manage it, so KEDA owns the data of these queues.
resource "azurerm_role_assignment" "scaler_counts" {
  for_each = azurerm_servicebus_queue.kind

  scope                = each.value.id
  role_definition_name = "Azure Service Bus Data Owner"
  principal_id         = var.scaler_id
}

resource "azurerm_private_endpoint" "main" {
  # A private endpoint of Service Bus needs its Premium tier.
  for_each = merge(
    { events = azurerm_eventhub_namespace.main.id },
    local.premium ? { bus = azurerm_servicebus_namespace.main.id } : {}
  )

  name                = "${var.place.prefix}-${each.key}"
  location            = var.place.region
  resource_group_name = var.place.group
  subnet_id           = var.subnet_id
  tags                = var.place.tags

  private_service_connection {
    name                           = each.key
    private_connection_resource_id = each.value
    subresource_names              = ["namespace"]
    is_manual_connection           = false
  }

  private_dns_zone_group {
    name                 = each.key
    private_dns_zone_ids = [var.dns_zone_id]
  }
}

output "id" {
  value = azurerm_eventhub_namespace.main.id
}

output "service_bus_id" {
  value = azurerm_servicebus_namespace.main.id
}

output "service_bus_namespace" {
  value = "${azurerm_servicebus_namespace.main.name}.servicebus.windows.net"
}

output "bootstrap_servers" {
  value = "${azurerm_eventhub_namespace.main.name}.servicebus.windows.net:9093"
}
