"""The arguments in the Terraform files, compared with those that the azurerm provider knows. Asks no server.

pulumi-azure is generated from that provider, so its classes hold the names and types of all arguments and blocks.
"""

import ast
import importlib.util
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import hcl2
from chart import ROOT

FILES: Final = ROOT / "deploy/azure"
CLASSES: Final = {
    "application_gateway": "network/application_gateway:ApplicationGateway",
    "eventhub": "eventhub/event_hub:EventHub",
    "eventhub_namespace": "eventhub/event_hub_namespace:EventHubNamespace",
    "eventhub_namespace_authorization_rule": (
        "eventhub/event_hub_namespace_authorization_rule:EventHubNamespaceAuthorizationRule"
    ),
    "federated_identity_credential": "armmsi/federated_identity_credential:FederatedIdentityCredential",
    "key_vault": "keyvault/key_vault:KeyVault",
    "key_vault_secret": "keyvault/secret:Secret",
    "kubernetes_cluster": "containerservice/kubernetes_cluster:KubernetesCluster",
    "kubernetes_cluster_node_pool": "containerservice/kubernetes_cluster_node_pool:KubernetesClusterNodePool",
    "log_analytics_workspace": "operationalinsights/analytics_workspace:AnalyticsWorkspace",
    "managed_redis": "managedredis/managed_redis:ManagedRedis",
    "monitor_diagnostic_setting": "monitoring/diagnostic_setting:DiagnosticSetting",
    "nat_gateway": "network/nat_gateway:NatGateway",
    "nat_gateway_public_ip_association": "network/nat_gateway_public_ip_association:NatGatewayPublicIpAssociation",
    "network_security_group": "network/network_security_group:NetworkSecurityGroup",
    "network_security_rule": "network/network_security_rule:NetworkSecurityRule",
    "postgresql_flexible_server": "postgresql/flexible_server:FlexibleServer",
    "postgresql_flexible_server_active_directory_administrator": (
        "postgresql/flexible_server_active_directory_administrator:FlexibleServerActiveDirectoryAdministrator"
    ),
    "postgresql_flexible_server_configuration": "postgresql/flexible_server_configuration:FlexibleServerConfiguration",
    "postgresql_flexible_server_database": "postgresql/flexible_server_database:FlexibleServerDatabase",
    "private_dns_zone": "privatedns/zone:Zone",
    "private_dns_zone_virtual_network_link": "privatedns/zone_virtual_network_link:ZoneVirtualNetworkLink",
    "private_endpoint": "privatelink/endpoint:Endpoint",
    "public_ip": "network/public_ip:PublicIp",
    "resource_group": "core/resource_group:ResourceGroup",
    "role_assignment": "authorization/assignment:Assignment",
    "servicebus_namespace": "servicebus/namespace:Namespace",
    "servicebus_queue": "servicebus/queue:Queue",
    "subnet": "network/subnet:Subnet",
    "subnet_nat_gateway_association": "network/subnet_nat_gateway_association:SubnetNatGatewayAssociation",
    "subnet_network_security_group_association": (
        "network/subnet_network_security_group_association:SubnetNetworkSecurityGroupAssociation"
    ),
    "user_assigned_identity": "authorization/user_assigned_identity:UserAssignedIdentity",
    "virtual_network": "network/virtual_network:VirtualNetwork",
    "web_application_firewall_policy": "waf/policy:Policy",
}
"""Of each resource, without azurerm_: the module and class of pulumi-azure, whose names differ."""
DATA_WITHOUT_ARGUMENTS: Final = {"azurerm_client_config"}
META_ARGUMENTS: Final = {"count", "depends_on", "for_each", "lifecycle", "provider", "provisioner", "timeouts"}
OPTIONAL_NAMES: Final = {"role_assignment"}
"""Pulumi makes names of its own, so it has every `name` as optional. Here the provider really does that."""
PLURAL_BLOCKS: Final = {"backend_http_settings"}
"""Repeated blocks whose name is a plural in Terraform too. Pulumi makes a plural of all others."""
PLURAL_LISTS: Final = {"address_space"}
"""Lists of texts that only Pulumi names in the plural."""
LISTS_OF_ONE: Final = {"federated_identity_credential": {"audience"}}
"""Arguments that are a list of one text in Terraform, and a single text for Pulumi."""


@cache
def parsed(text: str) -> dict[str, Any]:
    """What a Terraform file holds, as bc-python-hcl2 returns it, which checkov brings: each value is in a list.

    Do not change it: the parser is slow, so the next caller gets the same.
    """
    return dict(hcl2.loads(text))


class Argument(NamedTuple):
    """An argument or block. `block` is the class of a block's arguments; `repeated`: a list, or several blocks."""

    type: str
    block: str
    repeated: bool
    required: bool
    deprecated: bool


def problems(files: Path = FILES) -> list[str]:
    """Each argument that the provider does not take, lacks, or takes in another type, in a line."""
    return [found for path in sorted(files.rglob("*.tf")) for found in problems_in(path.read_text("utf-8"), path.name)]


def problems_in(text: str, name: str = "main.tf") -> list[str]:
    """The same of one file's text."""
    content = parsed(text)
    found: list[str] = []
    for kind in ("resource", "data"):
        for block in content.get(kind, []):
            for type_, named in block.items():
                for label, body in named.items():
                    if type_.startswith("azurerm_"):
                        found += [f"{name}: {type_}.{label}{what}" for what in _of_resource(kind, type_, body)]
    return found


def _of_resource(kind: str, type_: str, body: Mapping[str, Any]) -> Iterator[str]:
    short = type_.removeprefix("azurerm_")
    if kind == "data" and type_ in DATA_WITHOUT_ARGUMENTS:
        yield from (f".{argument}: is no argument" for argument in _written(body))
    elif kind == "data" or short not in CLASSES:
        yield ": tools/deploy/azurerm.py does not know this type; add its class to CLASSES"
    else:
        known = arguments_of_type(short)
        yield from _of_block(body, known, CLASSES[short].partition("/")[0], "", LISTS_OF_ONE.get(short, set()))
        for argument in ("name", "location"):
            own = argument in known and not (argument == "name" and short in OPTIONAL_NAMES)
            if own and argument not in body:
                yield f": {argument} is missing"


def _of_block(
    body: Mapping[str, Any], known: Mapping[str, Argument], package: str, place: str, lists: set[str]
) -> Iterator[str]:
    seen = set()
    for name, value in _written(body).items():
        argument = _find(known, name)
        if argument is None:
            yield f"{place}.{name}: is no argument"
            continue
        seen.add(_find_name(known, name))
        if argument.deprecated:
            yield f"{place}.{name}: is deprecated"
        if argument.block:
            for inner in value:
                if isinstance(inner, Mapping):
                    inside = arguments_of(f"{package}/_inputs", argument.block)
                    yield from _of_block(inner, inside, package, f"{place}.{name}", set())
                else:
                    yield f"{place}.{name}: is a block"
        elif name not in lists and (expected := _differs(value[0], argument)):
            yield f"{place}.{name}: {value[0]!r} is not {expected}"
    yield from (f"{place}: {name} is missing" for name, one in known.items() if one.required and name not in seen)


def _written(body: Mapping[str, Any]) -> dict[str, list[Any]]:
    """What a block holds, without what Terraform itself takes; a dynamic block as the block that it makes."""
    written = {name: value for name, value in body.items() if not name.startswith("__") and name not in META_ARGUMENTS}
    for dynamic in written.pop("dynamic", []):
        for name, made in dynamic.items():
            written[name] = made["content"]
    return written


def _find_name(known: Mapping[str, Argument], name: str) -> str | None:
    plural = f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"
    if plural in known and known[plural].repeated and (known[plural].block or name in PLURAL_LISTS):
        return plural
    if f"{name}_" in known:  # a word of Python, such as global
        return f"{name}_"
    if name.endswith("_wo") and f"{name}_version" in known:
        return f"{name}_version"  # Pulumi leaves out some write-only arguments, and never their version
    if name not in known:
        return None
    own = not (known[name].repeated and known[name].block) or name in PLURAL_BLOCKS
    return name if own else None


def _find(known: Mapping[str, Argument], name: str) -> Argument | None:
    if name in known and not known[name].block:
        return known[name]
    if name.endswith("_wo") and f"{name}_version" in known:
        return Argument("str", "", False, False, False)
    found = _find_name(known, name)
    return None if found is None else known[found]


def _differs(value: Any, argument: Argument) -> str:
    """The type that the value should have; "" where it has it, or where only Terraform can know."""
    if isinstance(value, str) and "${" in value:
        return ""
    if argument.repeated:
        return "" if isinstance(value, list) else "a list"
    if argument.type == "map":
        return "" if isinstance(value, Mapping) else "a map"
    fits: dict[str, tuple[tuple[type, ...], str]] = {
        "str": ((str,), "a text"),
        "bool": ((bool,), "true or false"),
        "int": ((int,), "a whole number"),
        "float": ((int, float), "a number"),
    }
    types, said = fits[argument.type]
    fitting = isinstance(value, types) and (argument.type == "bool" or not isinstance(value, bool))
    return "" if fitting else said


def arguments_of_type(type_: str) -> dict[str, Argument]:
    """The arguments of a resource, whose type is given without azurerm_; none of an unknown one."""
    if type_ not in CLASSES:
        return {}
    module, _, class_ = CLASSES[type_].partition(":")
    return arguments_of(module, f"{class_}Args")


@cache
def attributes_of(type_: str) -> set[str]:
    """What can be read of a resource such as azurerm_subnet."""
    module, _, class_ = CLASSES[type_.removeprefix("azurerm_")].partition(":")
    return {"id"} | {
        one.name
        for node in _module(module).body
        if isinstance(node, ast.ClassDef) and node.name == class_
        for one in node.body
        if isinstance(one, ast.FunctionDef) and any("getter" in ast.unparse(mark) for mark in one.decorator_list)
    }


@cache
def arguments_of(module: str, class_: str) -> dict[str, Argument]:
    """The arguments of a class of pulumi-azure, by their names.

    Raises:
        LookupError: there is no such class.
    """
    for node in _module(module).body:
        if isinstance(node, ast.ClassDef) and node.name == class_:
            (init,) = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
            deprecated = _deprecated(init)
            pairs = zip(init.args.kwonlyargs, init.args.kw_defaults, strict=True)
            return {one.arg: _argument(one, default is None, one.arg in deprecated) for one, default in pairs}
    raise LookupError(f"pulumi_azure has no class {class_} in {module}")


def _argument(one: ast.arg, required: bool, deprecated: bool) -> Argument:
    text = ast.unparse(one.annotation) if one.annotation else ""
    block = re.search(r"'(\w+Args)'", text)
    simple = re.findall(r"_builtins\.(\w+)", text)
    type_ = "map" if "Mapping[" in text else simple[-1] if simple else ""
    return Argument(type_, block[1] if block else "", "Sequence[" in text, required, deprecated)


def _deprecated(init: ast.FunctionDef) -> set[str]:
    return {
        node.test.left.id
        for node in init.body
        if isinstance(node, ast.If)
        and isinstance(node.test, ast.Compare)
        and isinstance(node.test.left, ast.Name)
        and any("warnings.warn" in ast.unparse(line) for line in node.body)
    }


@cache
def _module(name: str) -> ast.Module:
    specification = importlib.util.find_spec("pulumi_azure")
    assert specification is not None
    assert specification.origin is not None
    return ast.parse(Path(specification.origin).parent.joinpath(f"{name}.py").read_text("utf-8"))
