# Azure Managed Redis, which clients reach at port 10000. It is not sharded (possible up to 25 GB): the service needs less.
# Without HANNUN_REDIS_CLUSTER it takes Redis for one server, and some of its commands have several keys.

resource "azurerm_managed_redis" "main" {
  name                      = "${var.place.prefix}-redis"
  location                  = var.place.region
  resource_group_name       = var.place.group
  sku_name                  = var.cache.size
  high_availability_enabled = var.cache.replicated
  public_network_access     = "Disabled"
  tags                      = var.place.tags

  default_database {
    client_protocol                    = "Encrypted"
    clustering_policy                  = "NoCluster"
    eviction_policy                    = "VolatileLRU"
    access_keys_authentication_enabled = true
  }
}

resource "azurerm_private_endpoint" "main" {
  name                = "${var.place.prefix}-redis"
  location            = var.place.region
  resource_group_name = var.place.group
  subnet_id           = var.subnet_id
  tags                = var.place.tags

  private_service_connection {
    name                           = "redis"
    private_connection_resource_id = azurerm_managed_redis.main.id
    subresource_names              = ["redisEnterprise"]
    is_manual_connection           = false
  }

  private_dns_zone_group {
    name                 = "redis"
    private_dns_zone_ids = [var.dns_zone_id]
  }
}

resource "azurerm_key_vault_secret" "password" {
  name             = "hannun-redis-password"
  key_vault_id     = var.vault_id
  content_type     = "text/plain"
  value_wo         = azurerm_managed_redis.main.default_database[0].primary_access_key
  value_wo_version = var.secrets_version
  tags             = var.place.tags
}

output "id" {
  value = azurerm_managed_redis.main.id
}

output "host" {
  value = azurerm_managed_redis.main.hostname
}
