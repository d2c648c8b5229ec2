# 10,000 users at the same time, 99.9 %: three zones, a standby, private throughout. Names, networks and groups are examples.
subscription_id   = "00000000-0000-0000-0000-000000000000"
environment       = "prod"
zones             = ["1", "2", "3"]
administrators    = { id = "00000000-0000-0000-0000-000000000000", name = "hannun-operators" }
operator_networks = []
log_days          = 90

network = {
  space     = "10.20.0.0/16"
  nodes     = "10.20.0.0/21"
  edge      = "10.20.10.0/24"
  database  = "10.20.8.0/28"
  endpoints = "10.20.9.0/27"
  gateway   = "10.20.0.250/32"
}

cluster = {
  version = "1.34"
  tier    = "Standard"
  private = true
  size    = "Standard_D4ds_v5"
  nodes   = { min = 3, max = 9 }
}

database = {
  version        = "17"
  size           = "GP_Standard_D4ds_v5"
  storage_mb     = 524288
  zone_redundant = true
  backup_days    = 35
  geo_backup     = true
  pooler         = false # true for more pods than connections; the chart then sets HANNUN_TRANSACTION_POOLING
}

cache = { size = "Balanced_B5", replicated = true }

events = {
  units            = 4
  units_max        = 10
  retention_hours  = 168
  service_bus_tier = "Premium"
  partitions = {
    event-created          = 2
    participant-registered = 8
    distribution-completed = 4
    event-status-changed   = 2
    sales-recorded         = 4
  }
}

edge = {
  host        = "hannun.example.com"
  certificate = "hannun-page"
  capacity    = { min = 2, max = 10 }
  backend     = "10.20.0.250"
}
