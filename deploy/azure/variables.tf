variable "subscription_id" {
  description = "The subscription that pays."
  type        = string
}

variable "environment" {
  description = "dev or prod."
  type        = string

  validation {
    condition     = contains(["dev", "prod"], var.environment)
    error_message = "The environment is dev or prod."
  }
}

variable "region" {
  description = "The region."
  type        = string
  default     = "koreacentral"
}

variable "zones" {
  description = "The availability zones in use: one in development, three in production."
  type        = list(string)
}

variable "administrators" {
  description = "The Entra group whose members administer the cluster, the database and the secrets."
  type        = object({ id = string, name = string })
}

variable "operator_networks" {
  description = "Address ranges of the operators and testers, who reach the cluster's API and its gateway in development."
  type        = list(string)
}

variable "network" {
  description = "Address ranges of the virtual network and its subnets."
  type = object({
    space     = string
    nodes     = string
    edge      = string
    database  = string
    endpoints = string
    gateway   = string
  })
}

variable "cluster" {
  description = "The cluster: version, paid tier, private API, nodes."
  type = object({
    version = string
    tier    = string
    private = bool
    size    = string
    nodes   = object({ min = number, max = number })
  })
}

variable "database" {
  description = "PostgreSQL: size, storage, standby, backups."
  type = object({
    version        = string
    size           = string
    storage_mb     = number
    zone_redundant = bool
    backup_days    = number
    geo_backup     = bool
    pooler         = bool
  })
}

variable "cache" {
  description = "Azure Managed Redis: size, replica."
  type        = object({ size = string, replicated = bool })
}

variable "events" {
  description = "Event Hubs: throughput units, partitions of the topics, retention; and the tier of Service Bus."
  type = object({
    units            = number
    units_max        = number
    partitions       = map(number)
    retention_hours  = number
    service_bus_tier = string
  })
}

variable "edge" {
  description = "Application Gateway, or null for none: host name, certificate in the vault, capacity, address of the cluster's gateway."
  type = object({
    host        = string
    certificate = string
    capacity    = object({ min = number, max = number })
    backend     = string
  })
  default = null
}

variable "log_days" {
  description = "How long Log Analytics keeps logs."
  type        = number
}

variable "secrets_version" {
  description = "Raise it to write new passwords of the database, and the current keys of Redis and Event Hubs, into the vault."
  type        = number
  default     = 1
}
