variable "place" {
  description = "Where everything lies: the resource group, the region, the prefix of names, and the tags."
  type = object({
    group  = string
    region = string
    prefix = string
    tags   = map(string)
  })
}

variable "cluster" {
  description = "Version, paid tier, private API, nodes."
  type = object({
    version = string
    tier    = string
    private = bool
    size    = string
    nodes   = object({ min = number, max = number })
  })
}

variable "zones" {
  description = "The availability zones in use."
  type        = list(string)
}

variable "administrators" {
  description = "The Entra group that administers the cluster."
  type        = object({ id = string, name = string })
}

variable "operator_networks" {
  description = "Who may reach the API where it is not private."
  type        = list(string)
}

variable "subnet_id" {
  description = "The subnet of the nodes."
  type        = string
}

variable "workspace_id" {
  description = "Where logs go."
  type        = string
}
