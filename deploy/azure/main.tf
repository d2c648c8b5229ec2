# Hannun on Azure. docs/deployment.md says how to apply it, what stays by hand, and what only Azure shows.

locals {
  prefix = "hannun-${var.environment}"

  place = {
    group  = azurerm_resource_group.main.name
    region = var.region
    prefix = local.prefix
    tags   = local.tags
  }

  tags = {
    application = "hannun"
    environment = var.environment
    owner       = var.administrators.name
    managed-by  = "terraform"
  }
}

data "azurerm_client_config" "current" {}

resource "azurerm_resource_group" "main" {
  name     = local.prefix
  location = var.region
  tags     = local.tags
}

module "network" {
  source            = "./modules/network"
  place             = local.place
  network           = var.network
  zones             = var.zones
  operator_networks = var.operator_networks
}

module "watch" {
  source = "./modules/watch"
  place  = local.place
  days   = var.log_days

  watched = merge(
    {
      cluster     = module.cluster.id
      database    = module.database.id
      cache       = module.cache.id
      events      = module.events.id
      service-bus = module.events.service_bus_id
      vault       = module.secrets.vault_id
    },
    var.edge == null ? {} : { edge = module.edge[0].id }
  )
}

module "cluster" {
  source            = "./modules/cluster"
  place             = local.place
  cluster           = var.cluster
  zones             = var.zones
  administrators    = var.administrators
  operator_networks = var.operator_networks
  subnet_id         = module.network.subnets.nodes
  workspace_id      = module.watch.workspace_id

  # The nodes need their way out first.
  depends_on = [module.network]
}

module "database" {
  source          = "./modules/database"
  place           = local.place
  database        = var.database
  zones           = var.zones
  administrators  = var.administrators
  tenant_id       = data.azurerm_client_config.current.tenant_id
  subnet_id       = module.network.subnets.database
  dns_zone_id     = module.network.dns_zones.database
  vault_id        = module.secrets.vault_id
  secrets_version = var.secrets_version
}

module "cache" {
  source          = "./modules/cache"
  place           = local.place
  cache           = var.cache
  subnet_id       = module.network.subnets.endpoints
  dns_zone_id     = module.network.dns_zones.cache
  vault_id        = module.secrets.vault_id
  secrets_version = var.secrets_version
}

module "events" {
  source          = "./modules/events"
  place           = local.place
  events          = var.events
  subnet_id       = module.network.subnets.endpoints
  dns_zone_id     = module.network.dns_zones.bus
  reader_id       = module.secrets.identities.ingest
  scaler_id       = module.secrets.identities.scaler
  vault_id        = module.secrets.vault_id
  secrets_version = var.secrets_version
}

module "secrets" {
  source         = "./modules/secrets"
  place          = local.place
  tenant_id      = data.azurerm_client_config.current.tenant_id
  deployer_id    = data.azurerm_client_config.current.object_id
  administrators = var.administrators
  issuer         = module.cluster.issuer
  subnet_id      = module.network.subnets.endpoints
  dns_zone_id    = module.network.dns_zones.vault
}

# Its fixed price is more than all of development costs, so only production has it.
module "edge" {
  count = var.edge == null ? 0 : 1

  source    = "./modules/edge"
  place     = local.place
  edge      = var.edge
  zones     = var.zones
  subnet_id = module.network.subnets.edge
  vault_id  = module.secrets.vault_id
  vault_uri = module.secrets.vault_uri
}
