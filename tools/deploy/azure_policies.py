"""Rules of this project for the Terraform files, which checkov does not have or cannot compute: tags, and who reaches
what. Asks no server."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import azurerm
from azurerm import FILES

Body = Mapping[str, Any]
CLOSED: Final = {
    "postgresql_flexible_server": ("public_network_access_enabled", False),
    "eventhub_namespace": ("public_network_access_enabled", False),
    "key_vault": ("public_network_access_enabled", False),
    "managed_redis": ("public_network_access", "Disabled"),
    "servicebus_namespace": ("public_network_access_enabled", "${!local.premium}"),
}
"""Of each store of data: the argument that closes it for the Internet. Service Bus can be closed only in its Premium
tier, which production has."""
PUBLIC_PORTS: Final = {("edge", "443")}
"""Subnets and ports that the Internet reaches."""
SOURCES: Final = {"${each.value.from}", "${var.operator_networks}"}
"""Where rules of networks take their sources from: local.allowed, and the operators of the environment."""
PLATFORM: Final = {"AzureLoadBalancer", "GatewayManager"}
"""What of Azure itself may come in: probes, and the management of the gateway."""


def resources(files: Path = FILES) -> Iterator[tuple[str, str, Body]]:
    """Every resource of the provider: its type without azurerm_, its name, and what it holds."""
    for path in sorted(files.rglob("*.tf")):
        for block in azurerm.parsed(path.read_text("utf-8")).get("resource", []):
            for type_, named in block.items():
                for name, body in named.items():
                    if type_.startswith("azurerm_"):
                        yield type_.removeprefix("azurerm_"), name, body


def without_tags(files: Path = FILES) -> list[str]:
    """Each resource that can have tags, and has not those of the environment."""
    return [
        f"{type_}.{name} has not the tags of the environment"
        for type_, name, body in resources(files)
        if "tags" in azurerm.arguments_of_type(type_)
        and body.get("tags") not in (["${var.place.tags}"], ["${local.tags}"])
    ]


def open_to_the_internet(files: Path = FILES) -> list[str]:
    """Each store of data that the Internet reaches, and each rule of a network that lets in more than it should."""
    found = []
    for type_, name, body in resources(files):
        argument, closed = CLOSED.get(type_, ("", None))
        if argument and body.get(argument) != [closed]:
            found.append(f"{type_}.{name} is open: {argument} is not {closed}")
        if type_ == "network_security_rule" and body["access"] == ["Allow"] and _source(body) not in SOURCES:
            found.append(f"{type_}.{name} lets in {_source(body)}")
        if type_.endswith("_firewall_rule"):
            found.append(f"{type_}.{name} opens a server to addresses of the Internet")
    network = azurerm.parsed((files / "modules/network/main.tf").read_text("utf-8"))
    (rules,) = network["locals"][0]["allowed"]
    for subnet, named in rules.items():
        found += [f"network: {subnet}: {name}: {why}" for name, one in named.items() for why in _too_open(subnet, one)]
    for path in sorted((files / "environments").glob("*.tfvars")):
        (allowed,) = azurerm.parsed(path.read_text("utf-8"))["operator_networks"]
        found += [f"{path.name}: operators are the whole Internet" for one in allowed if one.endswith("/0")]
    return found + list(_unguarded_subnets(network, set(rules)))


def _source(rule: Body) -> str:
    (source,) = rule.get("source_address_prefix") or rule.get("source_address_prefixes") or ["everybody"]
    return str(source)


def _too_open(subnet: str, rule: Mapping[str, Any]) -> Iterator[str]:
    source = str(rule["from"])
    if source == "Internet":
        yield from (f"the Internet reaches port {port}" for port in rule["ports"] if (subnet, port) not in PUBLIC_PORTS)
    elif source not in PLATFORM and not source.startswith("${var.network."):
        yield f"{source} is no subnet of this network"
    elif source.startswith("${") and str(rule["to"]) == "*":
        yield "it reaches everything"


def _unguarded_subnets(network: Mapping[str, Any], guarded: set[str]) -> Iterator[str]:
    """Subnets without a group of rules. checkov does not follow the `for_each` that gives them one."""
    subnets = {"database", *network["locals"][0]["subnets"][0]}
    yield from (f"network: the subnet {name} has no rules" for name in sorted(subnets - guarded))
    given = {
        name: body
        for block in network["resource"]
        for type_, named in block.items()
        if type_ == "azurerm_subnet_network_security_group_association"
        for name, body in named.items()
    }
    if given.get("main", {}).get("for_each") != ["${azurerm_subnet.main}"] or "database" not in given:
        yield "network: a subnet has no group of rules"
