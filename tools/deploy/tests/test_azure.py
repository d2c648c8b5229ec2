"""The Terraform files: a fault that is planted in them is found, and what they promise holds."""

import shutil
from pathlib import Path
from typing import Any

import azure_policies
import azurerm
import chart
import policies
import pytest
import terraform
from azure_policies import Body, resources
from azurerm import FILES

MODULES = FILES / "modules"


def of_type(type_: str) -> list[Body]:
    found = [body for each, _, body in resources() if each == type_]
    assert found, type_
    return found


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The files, to plant faults in."""
    return shutil.copytree(FILES, tmp_path / "azure")


def plant(folder: Path, name: str, written: str, planted: str) -> None:
    path = folder / name
    text = path.read_text("utf-8")
    assert written in text
    path.write_text(text.replace(written, planted, 1), "utf-8")


def variables_of(environment: str) -> dict[str, Any]:
    return azurerm.parsed((FILES / f"environments/{environment}.tfvars").read_text("utf-8"))


# -- planted faults ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "written", "planted", "expected"),
    [
        pytest.param(
            "database", "auto_grow_enabled  ", "autogrow_enabled  ", ".autogrow_enabled: is no argument", id="misspelt"
        ),
        pytest.param(
            "cluster",
            "oidc_issuer_enabled  ",
            "enable_oidc_issuer  ",
            ".enable_oidc_issuer: is no argument",
            id="removed",
        ),
        pytest.param(
            "secrets",
            "rbac_authorization_enabled  ",
            "enable_rbac_authorization  ",
            ".enable_rbac_authorization: is deprecated",
            id="deprecated",
        ),
        pytest.param("cache", "NoCluster", "${1}", "", id="what only Terraform can know is left to it"),
        pytest.param(
            "events",
            "max_delivery_count    = 10",
            'max_delivery_count = "ten"',
            ".max_delivery_count: 'ten' is not a whole number",
            id="text for a number",
        ),
        pytest.param(
            "events",
            "manage              = false",
            "manage = 0",
            ".manage: 0 is not true or false",
            id="number for a truth",
        ),
        pytest.param("edge", '["${var.zones}"]', "", "", id="nothing planted"),
        pytest.param(
            "edge", "zones               = var.zones", 'zones = "1"', ".zones: '1' is not a list", id="text for a list"
        ),
        pytest.param(
            "edge",
            "drain_timeout_sec = 30",
            "drain_time_sec = 30",
            ".backend_http_settings.connection_draining: drain_timeout_sec is missing",
            id="missing in a block of a block",
        ),
        pytest.param(
            "edge", "  http_listener {", "  http_listeners {", ".http_listeners: is no argument", id="plural of a block"
        ),
        pytest.param(
            "database",
            "mode                      =",
            "kind =",
            ".high_availability.kind: is no argument",
            id="misspelt in a dynamic block",
        ),
        pytest.param("cache", "sku_name                  = var.cache.size", "", ": sku_name is missing", id="missing"),
        pytest.param(
            "watch",
            "location            = var.place.region",
            "",
            ": location is missing",
            id="missing for the provider alone",
        ),
        pytest.param(
            "database",
            "administrator_password_wo  ",
            "administrator_passwort_wo  ",
            ".administrator_passwort_wo: is no argument",
            id="misspelt and write-only",
        ),
        pytest.param(
            "cache", "azurerm_managed_redis", "azurerm_redis_cash", "does not know this type", id="misspelt type"
        ),
    ],
)
def test_a_planted_fault_of_an_argument_is_found(module: str, written: str, planted: str, expected: str) -> None:
    text = (MODULES / module / "main.tf").read_text("utf-8")
    assert azurerm.problems_in(text) == []
    if not expected:
        assert azurerm.problems_in(text.replace(written, planted)) == []
    else:
        assert written in text
        assert any(expected in line for line in azurerm.problems_in(text.replace(written, planted, 1)))


def test_every_class_in_the_table_exists_and_is_used() -> None:
    for place in azurerm.CLASSES.values():
        module, _, class_ = place.partition(":")
        assert azurerm.arguments_of(module, f"{class_}Args")
    assert {type_ for type_, _, _ in resources()} == set(azurerm.CLASSES)


@pytest.mark.parametrize(
    ("name", "written", "planted", "expected"),
    [
        ("main.tf", "  cache           = var.cache", "  cash = var.cache", "module cache: cash is not declared"),
        ("main.tf", "  cache           = var.cache", "", "module cache: cache is missing"),
        ("main.tf", "= var.log_days", "= var.log_day", "azure: var.log_day is not declared"),
        ("main.tf", "= var.log_days", "= 30", "azure: var.log_days is not used"),
        ("main.tf", "module.cluster.issuer", "module.cluster.issue", "module.cluster.issue is not there"),
        ("main.tf", "module.cluster.issuer", "module.cloister.issuer", "module.cloister.issuer is not there"),
        ("main.tf", "./modules/cache", "./modules/cash", "module cache: ./modules/cash is not its folder"),
        (
            "main.tf",
            "  zones             = var.zones",
            "  zones = var.log_days",
            "module network: zones has another type than var.log_days",
        ),
        ("main.tf", "= local.prefix", "= local.prefixes", "azure: local.prefixes is not declared"),
        ("modules/cache/main.tf", "var.cache.size", "var.cache.sise", "cache: var.cache.sise is not declared"),
        (
            "modules/cache/main.tf",
            "= azurerm_managed_redis.main.id",
            "= azurerm_managed_redis.mian.id",
            "cache: azurerm_managed_redis.mian is not declared",
        ),
        (
            "modules/cache/main.tf",
            "redis.main.hostname",
            "redis.main.host",
            "cache: azurerm_managed_redis.main has no attribute host",
        ),
        (
            "modules/cache/variables.tf",
            "size = string,",
            "size = number,",
            "module cache: cache has another type than var.cache",
        ),
        ("environments/dev.tfvars", "log_days          = 30", "", "dev.tfvars: log_days is missing"),
        ("environments/dev.tfvars", "log_days          = 30", 'log_days = "30"', "dev.tfvars: log_days is no number"),
        ("environments/prod.tfvars", "log_days ", "logg_days ", "prod.tfvars: logg_days is not declared"),
        (
            "environments/prod.tfvars",
            "geo_backup     = true",
            "geobackup = true",
            "prod.tfvars: database has other fields than version, size,",
        ),
        ("environments/prod.tfvars", "min = 3", 'min = "3"', "prod.tfvars: cluster.nodes.min is no number"),
        (
            "environments/prod.tfvars",
            "sales-recorded         = 4",
            'sales-recorded = "4"',
            "prod.tfvars: events.partitions is no number",
        ),
    ],
)
def test_a_name_or_type_that_does_not_fit_is_found(
    copied: Path, name: str, written: str, planted: str, expected: str
) -> None:
    plant(copied, name, written, planted)
    assert any(line.startswith(expected) for line in terraform.unknown_names(copied))


def test_the_names_of_the_files_fit() -> None:
    assert terraform.unknown_names() == []


def test_a_file_that_is_formatted_otherwise_is_found(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert terraform.badly_formatted() == []
    (copied / "main.tf").write_text("locals {\n  a = 1\n  longer = 2\n}\n")
    (copied / "outputs.tf").write_text("output {{{\n")
    expected = len(terraform.badly_formatted(copied))
    assert expected >= 2
    # The same on a machine without terraform.
    monkeypatch.setattr(terraform, "terraform", lambda: None)
    found = terraform.badly_formatted(copied)
    assert [line.partition(":")[0] for line in found] == ["main.tf", "outputs.tf"]


def test_a_missing_tag_is_found(copied: Path) -> None:
    assert azure_policies.without_tags() == []
    plant(copied, "modules/events/main.tf", "tags                         = var.place.tags", "")
    plant(copied, "modules/watch/main.tf", "= var.place.tags", '= { application = "hannun" }')
    assert azure_policies.without_tags(copied) == [
        "eventhub_namespace.main has not the tags of the environment",
        "log_analytics_workspace.main has not the tags of the environment",
    ]


FIREWALL = """
resource "azurerm_postgresql_flexible_server_firewall_rule" "all" {
  name             = "all"
  server_id        = azurerm_postgresql_flexible_server.main.id
  start_ip_address = "0.0.0.0"
  end_ip_address   = "255.255.255.255"
}
"""


@pytest.mark.parametrize(
    ("name", "written", "planted", "expected"),
    [
        pytest.param("modules/database/main.tf", "public_network_access_enabled     = false",
                     "public_network_access_enabled = true", "postgresql_flexible_server.main is open", id="server"),
        pytest.param("modules/database/main.tf", "output \"id\"", f"{FIREWALL}\noutput \"id\"",
                     "postgresql_flexible_server_firewall_rule.all opens", id="firewall"),
        pytest.param("modules/cache/main.tf", '"Disabled"', '"Enabled"', "managed_redis.main is open", id="cache"),
        pytest.param("modules/events/main.tf", "= !local.premium", "= true",
                     "servicebus_namespace.main is open", id="bus"),
        pytest.param("modules/network/main.tf", "from = var.network.nodes, to = var.network.database",
                     'from = "*", to = var.network.database', "* is no subnet of this network", id="everybody"),
        pytest.param("modules/network/main.tf", "from = var.network.nodes, to = var.network.database",
                     'from = "0.0.0.0/0", to = var.network.database', "0.0.0.0/0 is no subnet", id="every address"),
        pytest.param("modules/network/main.tf", "from = var.network.nodes, to = var.network.endpoints",
                     'from = "Internet", to = var.network.endpoints', "the Internet reaches port 10000", id="Internet"),
        pytest.param("modules/network/main.tf", 'ports = ["443"] }', 'ports = ["22", "443"] }',
                     "the Internet reaches port 22", id="port"),
        pytest.param("modules/network/main.tf", "= var.operator_networks\n", '= ["0.0.0.0/0"]\n',
                     "network_security_rule.operators lets in ['0.0.0.0/0']", id="a rule of its own"),
        pytest.param("environments/dev.tfvars", "203.0.113.0/24", "0.0.0.0/0", "whole Internet", id="operators"),
        pytest.param("modules/network/main.tf", "for_each = azurerm_subnet.main", 'for_each = toset(["nodes"])',
                     "a subnet has no group of rules", id="subnet without rules"),
    ],
)  # fmt: skip
def test_what_is_open_to_the_internet_is_found(
    copied: Path, name: str, written: str, planted: str, expected: str
) -> None:
    assert azure_policies.open_to_the_internet() == []
    if "ports" in written:
        written, planted = f"to = var.network.edge, {written}", f"to = var.network.edge, {planted}"
    plant(copied, name, written, planted)
    assert any(expected in line for line in azure_policies.open_to_the_internet(copied))


def test_each_reason_is_needed_and_a_policy_that_is_broken_is_found(copied: Path) -> None:
    """checkov is slow, so that one run shows both: with no reasons, on files with faults."""
    plant(copied, "modules/secrets/main.tf", "purge_protection_enabled      = true", "")
    plant(copied, "modules/cluster/main.tf", "local_account_disabled            = true", "")
    found = policies.checkov([copied], "terraform", {}, FILES / "environments/prod.tfvars")
    codes = {line.partition(" ")[0] for line in found}
    assert codes == set(policies.AZURE_REASONS) | {"CKV_AZURE_42", "CKV_AZURE_110", "CKV_AZURE_141"}


# -- what the files promise ----------------------------------------------------------------------------------------


def test_no_password_is_an_argument_that_the_state_keeps() -> None:
    for type_, name, body in resources():
        assert not {"administrator_password", "value", "password"} & set(body) or type_.endswith("_configuration"), name


def test_the_rights_are_for_one_thing_each() -> None:
    """Nobody contributes to more than a subnet; a process reads secrets, and receives messages; KEDA counts them."""
    given = {(name, *body["role_definition_name"]) for type_, name, body in resources() if type_ == "role_assignment"}
    assert given == {
        ("cluster_joins_subnet", "Network Contributor"),
        ("ingest_receives", "Azure Service Bus Data Receiver"),
        ("reads", "Key Vault Secrets User"),
        ("reads_certificate", "Key Vault Certificate User"),
        ("scaler_counts", "Azure Service Bus Data Owner"),
        ("writes", "Key Vault Secrets Officer"),
    }
    (rule,) = of_type("eventhub_namespace_authorization_rule")
    assert (rule["listen"], rule["send"], rule["manage"]) == ([True], [False], [False])


def test_production_survives_the_loss_of_a_zone() -> None:
    production = {name: value[0] for name, value in variables_of("prod").items()}
    assert len(production["zones"]) == 3
    assert production["database"]["zone_redundant"]
    assert production["database"]["backup_days"] == 35, "the longest time of a point-in-time restore"
    assert production["cache"]["replicated"]
    assert production["cluster"]["nodes"]["min"] >= 3
    assert production["cluster"]["private"]
    assert production["operator_networks"] == []
    for environment in chart.ENVIRONMENTS:
        assert "region" not in variables_of(environment)
    assert '"koreacentral"' in (FILES / "variables.tf").read_text("utf-8")


def test_event_hubs_is_used_as_its_standard_tier_allows() -> None:
    """No compaction there; the Kafka endpoint exists from Standard on; a namespace has ten hubs of 32 partitions."""
    (namespace,) = of_type("eventhub_namespace")
    assert namespace["sku"] == ["Standard"]
    (hub,) = of_type("eventhub")
    assert hub["retention_description"][0]["cleanup_policy"] == ["Delete"]
    for environment in chart.ENVIRONMENTS:
        (events,) = variables_of(environment)["events"]
        assert len(events["partitions"]) <= 10
        assert max(events["partitions"].values()) <= 32
        assert events["retention_hours"] <= 7 * 24


def values_of(environment: str) -> dict[str, Any]:
    return chart.merged(chart.defaults(), chart.values_on_azure(environment))


@pytest.mark.parametrize("environment", chart.ENVIRONMENTS)
def test_the_topics_are_those_of_the_chart_with_a_partition_for_each_pod(environment: str) -> None:
    (events,) = variables_of(environment)["events"]
    values = values_of(environment)
    assert set(events["partitions"]) == set(values["ingest"]["scaling"]["topics"])
    assert max(events["partitions"].values()) >= values["ingest"]["replicas"]["max"]


@pytest.mark.parametrize("environment", chart.ENVIRONMENTS)
def test_each_process_may_read_the_secrets_that_the_chart_gives_it_and_its_own_only(environment: str) -> None:
    (readable,) = azurerm.parsed((FILES / "modules/secrets/main.tf").read_text("utf-8"))["locals"][0]["readable"]
    given = values_of(environment)["secrets"]["files"]
    assert set(readable) == {*given, "scaler"}
    for process, files in given.items():
        assert set(readable[process]) == set(files.values()), process
