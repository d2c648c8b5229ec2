variable "place" {
  description = "Where everything lies: the resource group, the region, the prefix of names, and the tags."
  type = object({
    group  = string
    region = string
    prefix = string
    tags   = map(string)
  })
}

variable "days" {
  description = "How long logs are kept."
  type        = number
}

variable "watched" {
  description = "The ids of the resources whose logs and metrics are kept, by their names."
  type        = map(string)
}
