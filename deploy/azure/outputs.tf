# What the chart's own values need; none is a secret.

output "bootstrap_servers" {
  description = "KAFKA_BOOTSTRAP_SERVERS."
  value       = module.events.bootstrap_servers
}

output "service_bus_namespace" {
  description = "HANNUN_SERVICE_BUS_NAMESPACE, where Service Bus is the source."
  value       = module.events.service_bus_namespace
}

output "redis_host" {
  description = "REDIS_HOST; REDIS_PORT is 10000."
  value       = module.cache.host
}

output "database_host" {
  description = "The host of PostgreSQL."
  value       = module.database.host
}

output "identities" {
  description = "The client id of each process, for the chart's serviceAccounts.azureClientIds, and of KEDA (scaler)."
  value       = module.secrets.client_ids
}

output "vault" {
  description = "The vault that holds the secrets."
  value       = module.secrets.vault_uri
}
