variable "place" {
  description = "Where everything lies: the resource group, the region, the prefix of names, and the tags."
  type = object({
    group  = string
    region = string
    prefix = string
    tags   = map(string)
  })
}

variable "events" {
  description = "Throughput units, partitions of the topics, retention; and the tier of Service Bus."
  type = object({
    units            = number
    units_max        = number
    partitions       = map(number)
    retention_hours  = number
    service_bus_tier = string
  })
}

variable "subnet_id" {
  description = "The subnet of private endpoints."
  type        = string
}

variable "dns_zone_id" {
  description = "The private zone of both namespaces."
  type        = string
}

variable "reader_id" {
  description = "The identity of ingest, which receives from Service Bus."
  type        = string
}

variable "vault_id" {
  description = "Where the connection string goes."
  type        = string
}

variable "secrets_version" {
  description = "A higher one writes the current connection string."
  type        = number
}

variable "scaler_id" {
  description = "The identity of KEDA, which asks how long the queues are."
  type        = string
}
