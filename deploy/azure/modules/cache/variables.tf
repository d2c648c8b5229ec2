variable "place" {
  description = "Where everything lies: the resource group, the region, the prefix of names, and the tags."
  type = object({
    group  = string
    region = string
    prefix = string
    tags   = map(string)
  })
}

variable "cache" {
  description = "Size, and whether it has a replica."
  type        = object({ size = string, replicated = bool })
}

variable "subnet_id" {
  description = "The subnet of private endpoints."
  type        = string
}

variable "dns_zone_id" {
  description = "The private zone of its name."
  type        = string
}

variable "vault_id" {
  description = "Where the access key goes."
  type        = string
}

variable "secrets_version" {
  description = "A higher one writes the current access key."
  type        = number
}
