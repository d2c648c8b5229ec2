# PostgreSQL in a subnet of its own. Passwords are made anew at each run, and written only when secrets_version rises:
# into the server and into the vault. The state holds none.

locals {
  name = "analytics_db"

  parameters = merge(
    {
      "azure.extensions"                    = "PG_STAT_STATEMENTS"
      "shared_preload_libraries"            = "pg_stat_statements"
      "require_secure_transport"            = "on"
      "ssl_min_protocol_version"            = "TLSv1.2"
      "log_checkpoints"                     = "on"
      "log_connections"                     = "on"
      "log_disconnections"                  = "on"
      "connection_throttle.enable"          = "on"
      "idle_in_transaction_session_timeout" = "60000"
      "client_connection_check_interval"    = "5000"
    },
    var.database.pooler ? {
      "pgbouncer.enabled"           = "true"
      "pgbouncer.pool_mode"         = "transaction"
      "pgbouncer.default_pool_size" = "50"
    } : {}
  )
}

ephemeral "random_password" "owner" {
  length  = 40
  special = false
}

ephemeral "random_password" "service" {
  length  = 40
  special = false
}

ephemeral "random_password" "backup" {
  length  = 40
  special = false
}

resource "azurerm_postgresql_flexible_server" "main" {
  name                              = "${var.place.prefix}-postgres"
  location                          = var.place.region
  resource_group_name               = var.place.group
  version                           = var.database.version
  sku_name                          = var.database.size
  storage_mb                        = var.database.storage_mb
  auto_grow_enabled                 = true
  zone                              = var.zones[0]
  delegated_subnet_id               = var.subnet_id
  private_dns_zone_id               = var.dns_zone_id
  public_network_access_enabled     = false
  backup_retention_days             = var.database.backup_days
  geo_redundant_backup_enabled      = var.database.geo_backup
  administrator_login               = "hannun_owner"
  administrator_password_wo         = ephemeral.random_password.owner.result
  administrator_password_wo_version = var.secrets_version
  tags                              = var.place.tags

  authentication {
    active_directory_auth_enabled = true
    password_auth_enabled         = true
    tenant_id                     = var.tenant_id
  }

  dynamic "high_availability" {
    for_each = var.database.zone_redundant ? [var.zones[1]] : []

    content {
      mode                      = "ZoneRedundant"
      standby_availability_zone = high_availability.value
    }
  }

  maintenance_window {
    day_of_week  = 0
    start_hour   = 18
    start_minute = 0
  }

  lifecycle {
    prevent_destroy = true
    # A failover changes places; it is no difference to mend.
    ignore_changes = [zone, high_availability[0].standby_availability_zone]
  }
}

resource "azurerm_postgresql_flexible_server_active_directory_administrator" "main" {
  resource_group_name = var.place.group
  server_name         = azurerm_postgresql_flexible_server.main.name
  tenant_id           = var.tenant_id
  object_id           = var.administrators.id
  principal_name      = var.administrators.name
  principal_type      = "Group"
}

resource "azurerm_postgresql_flexible_server_database" "main" {
  name      = local.name
  server_id = azurerm_postgresql_flexible_server.main.id
  charset   = "UTF8"
  collation = "en_US.utf8"

  lifecycle {
    prevent_destroy = true
  }
}

resource "azurerm_postgresql_flexible_server_configuration" "main" {
  for_each = local.parameters

  name      = each.key
  server_id = azurerm_postgresql_flexible_server.main.id
  value     = each.value
}

resource "azurerm_key_vault_secret" "owner_url" {
  name             = "hannun-owner-database-url"
  key_vault_id     = var.vault_id
  content_type     = "text/plain"
  value_wo         = "postgresql://hannun_owner:${ephemeral.random_password.owner.result}@${azurerm_postgresql_flexible_server.main.fqdn}:5432/${local.name}?sslmode=verify-full&sslrootcert=system"
  value_wo_version = var.secrets_version
  tags             = var.place.tags
}

# `hannun migrate` gives the roles these passwords, and the processes use the URLs.
resource "azurerm_key_vault_secret" "service_password" {
  name             = "hannun-analytics-readwrite-password"
  key_vault_id     = var.vault_id
  content_type     = "text/plain"
  value_wo         = ephemeral.random_password.service.result
  value_wo_version = var.secrets_version
  tags             = var.place.tags
}

resource "azurerm_key_vault_secret" "service_url" {
  name             = "hannun-database-url"
  key_vault_id     = var.vault_id
  content_type     = "text/plain"
  value_wo         = "postgresql://analytics_readwrite:${ephemeral.random_password.service.result}@${azurerm_postgresql_flexible_server.main.fqdn}:${var.database.pooler ? 6432 : 5432}/${local.name}?sslmode=verify-full&sslrootcert=system"
  value_wo_version = var.secrets_version
  tags             = var.place.tags
}

resource "azurerm_key_vault_secret" "backup_password" {
  name             = "hannun-analytics-backup-password"
  key_vault_id     = var.vault_id
  content_type     = "text/plain"
  value_wo         = ephemeral.random_password.backup.result
  value_wo_version = var.secrets_version
  tags             = var.place.tags
}

# A backup needs a session of its own, so it goes past the pooler.
resource "azurerm_key_vault_secret" "backup_url" {
  name             = "hannun-backup-database-url"
  key_vault_id     = var.vault_id
  content_type     = "text/plain"
  value_wo         = "postgresql://analytics_backup:${ephemeral.random_password.backup.result}@${azurerm_postgresql_flexible_server.main.fqdn}:5432/${local.name}?sslmode=verify-full&sslrootcert=system"
  value_wo_version = var.secrets_version
  tags             = var.place.tags
}

output "id" {
  value = azurerm_postgresql_flexible_server.main.id
}

output "host" {
  value = azurerm_postgresql_flexible_server.main.fqdn
}
