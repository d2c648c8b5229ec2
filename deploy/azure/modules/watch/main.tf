# Logs and metrics of every resource in one workspace.

resource "azurerm_log_analytics_workspace" "main" {
  name                = "${var.place.prefix}-logs"
  location            = var.place.region
  resource_group_name = var.place.group
  sku                 = "PerGB2018"
  retention_in_days   = var.days
  tags                = var.place.tags
}

resource "azurerm_monitor_diagnostic_setting" "main" {
  for_each = var.watched

  name                       = "logs"
  target_resource_id         = each.value
  log_analytics_workspace_id = azurerm_log_analytics_workspace.main.id

  enabled_log {
    category_group = "allLogs"
  }

  enabled_metric {
    category = "AllMetrics"
  }
}

output "workspace_id" {
  value = azurerm_log_analytics_workspace.main.id
}
