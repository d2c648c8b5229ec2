# The vault, an identity for each process, and which secrets each may read: those that the chart mounts for it. Beside
# them KEDA's, which scales ingest.

locals {
  readable = {
    serve    = ["hannun-database-url", "hannun-redis-password", "hannun-kafka-sasl-password"]
    ingest   = ["hannun-database-url", "hannun-redis-password", "hannun-kafka-sasl-password"]
    schedule = ["hannun-database-url", "hannun-redis-password", "hannun-kafka-sasl-password"]
    migrate  = ["hannun-owner-database-url", "hannun-analytics-readwrite-password", "hannun-analytics-backup-password"]
    backup   = ["hannun-database-url", "hannun-backup-database-url", "hannun-redis-password"]
    scaler   = ["hannun-kafka-sasl-password"]
  }

  # KEDA, which AKS runs, asks the brokers how much waits. All others are pods of the chart.
  accounts = { scaler = "kube-system:keda-operator" }

  grants = merge([
    for process, names in local.readable : { for name in names : "${process}/${name}" => { process = process, name = name } }
  ]...)
}

resource "azurerm_key_vault" "main" {
  name                          = "${var.place.prefix}-kv"
  location                      = var.place.region
  resource_group_name           = var.place.group
  tenant_id                     = var.tenant_id
  sku_name                      = "standard"
  rbac_authorization_enabled    = true
  purge_protection_enabled      = true
  soft_delete_retention_days    = 90
  public_network_access_enabled = false
  tags                          = var.place.tags

  network_acls {
    bypass         = "AzureServices"
    default_action = "Deny"
  }
}

resource "azurerm_private_endpoint" "vault" {
  name                = "${var.place.prefix}-vault"
  location            = var.place.region
  resource_group_name = var.place.group
  subnet_id           = var.subnet_id
  tags                = var.place.tags

  private_service_connection {
    name                           = "vault"
    private_connection_resource_id = azurerm_key_vault.main.id
    subresource_names              = ["vault"]
    is_manual_connection           = false
  }

  private_dns_zone_group {
    name                 = "vault"
    private_dns_zone_ids = [var.dns_zone_id]
  }
}

resource "azurerm_role_assignment" "writes" {
  for_each = toset([var.deployer_id, var.administrators.id])

  scope                = azurerm_key_vault.main.id
  role_definition_name = "Key Vault Secrets Officer"
  principal_id         = each.value
}

resource "azurerm_user_assigned_identity" "process" {
  for_each = local.readable

  name                = "${var.place.prefix}-${each.key}"
  location            = var.place.region
  resource_group_name = var.place.group
  tags                = var.place.tags
}

resource "azurerm_federated_identity_credential" "process" {
  for_each = azurerm_user_assigned_identity.process

  name                      = "kubernetes"
  user_assigned_identity_id = each.value.id
  issuer                    = var.issuer
  subject                   = "system:serviceaccount:${lookup(local.accounts, each.key, "hannun:hannun-${each.key}")}"
  audience                  = ["api://AzureADTokenExchange"]
}

resource "azurerm_role_assignment" "reads" {
  for_each = local.grants

  scope                = "${azurerm_key_vault.main.id}/secrets/${each.value.name}"
  role_definition_name = "Key Vault Secrets User"
  principal_id         = azurerm_user_assigned_identity.process[each.value.process].principal_id
}

# Whoever uses the vault needs the rights to write to it, and the way to it.
output "vault_id" {
  value      = azurerm_key_vault.main.id
  depends_on = [azurerm_role_assignment.writes, azurerm_private_endpoint.vault]
}

output "vault_uri" {
  value = azurerm_key_vault.main.vault_uri
}

output "identities" {
  value = { for process, identity in azurerm_user_assigned_identity.process : process => identity.principal_id }
}

output "client_ids" {
  value = { for process, identity in azurerm_user_assigned_identity.process : process => identity.client_id }
}
