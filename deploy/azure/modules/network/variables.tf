variable "place" {
  description = "Where everything lies: the resource group, the region, the prefix of names, and the tags."
  type = object({
    group  = string
    region = string
    prefix = string
    tags   = map(string)
  })
}

variable "network" {
  description = "Address ranges."
  type = object({
    space     = string
    nodes     = string
    edge      = string
    database  = string
    endpoints = string
    gateway   = string
  })
}

variable "zones" {
  description = "The availability zones in use."
  type        = list(string)
}

variable "operator_networks" {
  description = "Who reaches the gateway of the cluster directly."
  type        = list(string)
}
