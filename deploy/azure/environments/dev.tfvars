# 100 users, 95 %: one of everything, in one zone. Names, networks and groups are examples.
subscription_id   = "00000000-0000-0000-0000-000000000000"
environment       = "dev"
zones             = ["1"]
administrators    = { id = "00000000-0000-0000-0000-000000000000", name = "hannun-developers" }
operator_networks = ["203.0.113.0/24"]
log_days          = 30

network = {
  space     = "10.30.0.0/16"
  nodes     = "10.30.0.0/22"
  edge      = "10.30.4.0/24"
  database  = "10.30.8.0/28"
  endpoints = "10.30.9.0/27"
  gateway   = "10.30.0.250/32"
}

cluster = {
  version = "1.34"
  tier    = "Free"
  private = false
  size    = "Standard_D2ds_v5"
  nodes   = { min = 1, max = 2 }
}

database = {
  version        = "17"
  size           = "B_Standard_B2s"
  storage_mb     = 32768
  zone_redundant = false
  backup_days    = 7
  geo_backup     = false
  pooler         = false # the burstable sizes have none
}

cache = { size = "Balanced_B0", replicated = false }

events = {
  units            = 1
  units_max        = 1
  retention_hours  = 24
  service_bus_tier = "Standard"
  partitions = {
    event-created          = 1
    participant-registered = 2
    distribution-completed = 1
    event-status-changed   = 1
    sales-recorded         = 1
  }
}
