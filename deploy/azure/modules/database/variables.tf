variable "place" {
  description = "Where everything lies: the resource group, the region, the prefix of names, and the tags."
  type = object({
    group  = string
    region = string
    prefix = string
    tags   = map(string)
  })
}

variable "database" {
  description = "Version, size, storage, standby, backups, pooler."
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

variable "zones" {
  description = "The availability zones in use."
  type        = list(string)
}

variable "administrators" {
  description = "The Entra group that administers the server."
  type        = object({ id = string, name = string })
}

variable "tenant_id" {
  description = "The tenant of the administrators."
  type        = string
}

variable "subnet_id" {
  description = "The subnet that is delegated to the server."
  type        = string
}

variable "dns_zone_id" {
  description = "The private zone of its name."
  type        = string
}

variable "vault_id" {
  description = "Where the URLs with passwords go."
  type        = string
}

variable "secrets_version" {
  description = "A higher one writes new passwords."
  type        = number
}
