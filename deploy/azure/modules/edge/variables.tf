variable "place" {
  description = "Where everything lies: the resource group, the region, the prefix of names, and the tags."
  type = object({
    group  = string
    region = string
    prefix = string
    tags   = map(string)
  })
}

variable "edge" {
  description = "Host name, certificate in the vault, capacity, address of the cluster's gateway."
  type = object({
    host        = string
    certificate = string
    capacity    = object({ min = number, max = number })
    backend     = string
  })
}

variable "zones" {
  description = "The availability zones in use."
  type        = list(string)
}

variable "subnet_id" {
  description = "The subnet of the gateway, which holds nothing else."
  type        = string
}

variable "vault_uri" {
  description = "Where the certificate is."
  type        = string
}

variable "vault_id" {
  description = "The same vault, for the right to read from it."
  type        = string
}
