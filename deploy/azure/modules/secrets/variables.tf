variable "place" {
  description = "Where everything lies: the resource group, the region, the prefix of names, and the tags."
  type = object({
    group  = string
    region = string
    prefix = string
    tags   = map(string)
  })
}

variable "tenant_id" {
  description = "The tenant of the vault."
  type        = string
}

variable "deployer_id" {
  description = "Who applies this, and so writes secrets."
  type        = string
}

variable "administrators" {
  description = "The Entra group that administers secrets."
  type        = object({ id = string, name = string })
}

variable "issuer" {
  description = "The issuer of the cluster's tokens, by which a pod proves who it is."
  type        = string
}

variable "subnet_id" {
  description = "The subnet of private endpoints."
  type        = string
}

variable "dns_zone_id" {
  description = "The private zone of the vault."
  type        = string
}
