"""The chart: a fault that is planted in it is found, and what it promises holds in every environment."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import chart
import helm_python
import objects
import policies
import pytest
from chart import ENVIRONMENTS, Object

PROCESSES = ("serve", "ingest", "schedule")


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def rendered(request: pytest.FixtureRequest) -> list[Object]:
    return chart.render(chart.values_of(request.param))


@pytest.fixture(scope="module")
def production() -> list[Object]:
    return chart.render(chart.values_of("prod"))


def found(rendered: list[Object], kind: str, name: str) -> Object:
    (one,) = [one for one in rendered if one["kind"] == kind and one["metadata"]["name"] == f"hannun-{name}"]
    return one


def pods(rendered: list[Object]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod's specification with the name of its object."""
    for one in rendered:
        spec = one.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec and one["kind"] in ("Deployment", "Job", "CronJob"):
            yield one["metadata"]["name"], spec["template"]["spec"]


def containers(rendered: list[Object]) -> Iterator[dict[str, Any]]:
    for _, pod in pods(rendered):
        yield from pod["containers"]


# -- planted faults ------------------------------------------------------------------------------------------------


def misspell_a_field(rendered: list[Object]) -> None:
    pod = found(rendered, "Deployment", "serve")["spec"]["template"]["spec"]
    pod["terminationGracePeriodSecond"] = pod.pop("terminationGracePeriodSeconds")


def give_a_number_as_text(rendered: list[Object]) -> None:
    found(rendered, "HorizontalPodAutoscaler", "serve")["spec"]["minReplicas"] = "three"


def misspell_a_field_of_keda(rendered: list[Object]) -> None:
    spec = found(rendered, "ScaledObject", "ingest")["spec"]
    spec["maxReplicas"] = spec.pop("maxReplicaCount")


def misspell_a_field_of_the_route(rendered: list[Object]) -> None:
    rule = found(rendered, "HTTPRoute", "serve")["spec"]["rules"][0]
    rule["timeout"] = rule.pop("timeouts")


def forget_the_store_of_a_secret(rendered: list[Object]) -> None:
    del found(rendered, "ExternalSecret", "serve")["spec"]["data"][0]["remoteRef"]


def use_a_removed_version(rendered: list[Object]) -> None:
    found(rendered, "PodDisruptionBudget", "serve")["apiVersion"] = "policy/v1beta1"


SCHEMA_FAULTS = (
    misspell_a_field,
    give_a_number_as_text,
    misspell_a_field_of_keda,
    misspell_a_field_of_the_route,
    forget_the_store_of_a_secret,
    use_a_removed_version,
)


def test_every_fault_of_a_schema_is_found(production: list[Object]) -> None:
    for plant in SCHEMA_FAULTS:
        faulty = copy.deepcopy(production)
        plant(faulty)
        assert objects.problems([one for one in faulty if one not in production]), plant.__name__


def remove_a_probe(rendered: list[Object]) -> None:
    del found(rendered, "Deployment", "serve")["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]


def run_as_root(rendered: list[Object]) -> None:
    found(rendered, "Deployment", "ingest")["spec"]["template"]["spec"]["containers"][0]["securityContext"][
        "runAsUser"
    ] = 0


def allow_writing_the_root(rendered: list[Object]) -> None:
    found(rendered, "Deployment", "schedule")["spec"]["template"]["spec"]["containers"][0]["securityContext"][
        "readOnlyRootFilesystem"
    ] = False


def put_a_secret_into_a_variable(rendered: list[Object]) -> None:
    environment = found(rendered, "Deployment", "serve")["spec"]["template"]["spec"]["containers"][0]["env"]
    reference = {"secretKeyRef": {"name": "hannun-serve", "key": "DATABASE_URL"}}
    environment.append({"name": "DATABASE_URL", "valueFrom": reference})


POLICY_FAULTS = (remove_a_probe, run_as_root, allow_writing_the_root, put_a_secret_into_a_variable)


def test_every_fault_of_a_policy_is_found(production: list[Object]) -> None:
    faulty = copy.deepcopy(production)
    for plant in POLICY_FAULTS:
        plant(faulty)
    said = policies.checkov_of_objects(faulty)
    for code, where in (
        ("CKV_K8S_8 ", "hannun-serve"),
        ("CKV_K8S_40 ", "hannun-ingest"),
        ("CKV_K8S_22 ", "hannun-schedule"),
        ("CKV_K8S_35 ", "hannun-serve"),
    ):
        assert any(line.startswith(code) and where in line for line in said), (code, said)


@pytest.mark.parametrize(
    "remove",
    [
        pytest.param(lambda one: one["kind"] == "NetworkPolicy", id="no network policies"),
        pytest.param(lambda one: one["kind"] == "PodDisruptionBudget", id="no disruption budgets"),
    ],
)
def test_a_missing_object_is_found(production: list[Object], remove: Callable[[Object], bool]) -> None:
    assert policies.kube_score([one for one in production if not remove(one)], policies.IGNORED_SCORES["prod"])


# -- what the chart promises ---------------------------------------------------------------------------------------


def test_a_network_policy_allows_nothing_by_default(rendered: list[Object]) -> None:
    deny = found(rendered, "NetworkPolicy", "deny")["spec"]
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in deny
    assert "egress" not in deny
    assert deny["podSelector"]["matchLabels"] == {
        "app.kubernetes.io/name": "hannun",
        "app.kubernetes.io/instance": "hannun",
    }


def test_no_policy_opens_a_port_to_everybody_or_everything_to_a_pod(rendered: list[Object]) -> None:
    for policy in (one for one in rendered if one["kind"] == "NetworkPolicy"):
        for way, peers in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(way, []):
                assert rule[peers], policy["metadata"]["name"]
                assert rule["ports"], policy["metadata"]["name"]
                for peer in rule[peers]:
                    block = peer.get("ipBlock", {})
                    if block.get("cidr") == "0.0.0.0/0":
                        assert {"10.0.0.0/8", "169.254.0.0/16"} <= set(block["except"])
                    assert peer.get("namespaceSelector") != {}


def test_every_process_has_an_account_of_its_own_without_a_token(rendered: list[Object]) -> None:
    accounts = {one["metadata"]["name"] for one in rendered if one["kind"] == "ServiceAccount"}
    used = {name: pod["serviceAccountName"] for name, pod in pods(rendered)}
    assert set(used.values()) == accounts
    assert len({used[f"hannun-{process}"] for process in (*PROCESSES, "migrate", "backup")}) == 5
    assert all(pod["automountServiceAccountToken"] is False for _, pod in pods(rendered))


def test_secrets_are_files_and_no_variable_holds_one(rendered: list[Object]) -> None:
    for container in containers(rendered):
        for variable in container["env"]:
            assert "valueFrom" not in variable
            if variable["name"].endswith(("PASSWORD", "SECRET", "DATABASE_URL")):
                raise AssertionError(variable["name"])
        assert {"name": "secrets", "mountPath": "/run/secrets/hannun", "readOnly": True} in container["volumeMounts"]


def test_a_pod_may_end_later_than_its_process_needs(rendered: list[Object]) -> None:
    """The times are those of docs/operating.md, and of serve also the wait before its end."""
    least = {"serve": 5 + 4 + 8, "ingest": 30 + 15, "schedule": 15}
    for process, seconds in least.items():
        pod = found(rendered, "Deployment", process)["spec"]["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] >= seconds


def test_probes_ask_what_health_means(rendered: list[Object]) -> None:
    for process in PROCESSES:
        (container,) = found(rendered, "Deployment", process)["spec"]["template"]["spec"]["containers"]
        assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
        assert container["startupProbe"]["httpGet"]["path"] == "/health/live"
        ready = container.get("readinessProbe", {}).get("httpGet", {}).get("path")
        assert ready == ("/health/ready" if process == "serve" else None)


def test_no_time_out_ends_an_event_stream(rendered: list[Object]) -> None:
    for rule in found(rendered, "HTTPRoute", "serve")["spec"]["rules"]:
        assert rule["timeouts"] == {"request": "0s", "backendRequest": "0s"}


def test_the_migration_runs_before_the_new_pods_and_has_its_secret_before(production: list[Object]) -> None:
    job = found(production, "Job", "migrate")["metadata"]["annotations"]
    secret = found(production, "ExternalSecret", "migrate")
    account = found(production, "ServiceAccount", "migrate")["metadata"]["annotations"]
    assert job["helm.sh/hook"] == "pre-install,pre-upgrade"
    for before in (secret["metadata"]["annotations"], account):
        assert before["helm.sh/hook"] == job["helm.sh/hook"]
        assert int(before["helm.sh/hook-weight"]) < int(job["helm.sh/hook-weight"])
    assert secret["spec"]["target"]["creationPolicy"] == "Orphan"


def test_only_the_migration_knows_the_owner_of_the_database(production: list[Object]) -> None:
    for one in production:
        if one["kind"] == "ExternalSecret":
            keys = {entry["secretKey"] for entry in one["spec"]["data"]}
            assert ("HANNUN_OWNER_DATABASE_URL" in keys) == (one["metadata"]["name"] == "hannun-migrate")


def test_production_survives_the_loss_of_a_node(production: list[Object]) -> None:
    for process in PROCESSES:
        budget = found(production, "PodDisruptionBudget", process)["spec"]
        assert budget["maxUnavailable"] == 1
        spread = found(production, "Deployment", process)["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert {one["topologyKey"] for one in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"serve": {"replica": {"min": 1}}}, id="a misspelt value"),
        pytest.param({"serve": {"terminationGracePeriodSeconds": 5}}, id="a pod that is killed too early"),
        pytest.param({"settings": {"HANNUN_JWT_SECRET": "x"}}, id="a secret among the settings"),
        pytest.param({"settings": {"PATH": "/bin"}}, id="what is no setting"),
        pytest.param({"image": {"digest": "latest"}}, id="a digest that is none"),
        pytest.param({"backup": {"schedule": "at night"}}, id="a timetable that is none"),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(helm_python.HelmError):
        chart.render(chart.values_of("prod", values))


def test_every_reason_for_a_finding_is_needed(production: list[Object]) -> None:
    said = policies.checkov_of_objects(production, reasons={})
    assert {line.split()[0] for line in said} == set(policies.REASONS)


# -- on Azure ------------------------------------------------------------------------------------------------------

PRIVATE = "10.20.9.0/27"


@pytest.fixture(scope="module", params=chart.SOURCES)
def on_azure(request: pytest.FixtureRequest) -> tuple[str, list[Object]]:
    return request.param, chart.render(chart.values_on_azure("prod", request.param))


def variables(rendered: list[Object], process: str) -> dict[str, str]:
    (container,) = found(rendered, "Deployment", process)["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one["value"] for one in container["env"]}


def reached(rendered: list[Object], process: str) -> set[tuple[str, int]]:
    """Ranges of addresses and ports that a process may connect to."""
    return {
        (peer["ipBlock"]["cidr"], port["port"])
        for rule in found(rendered, "NetworkPolicy", process)["spec"]["egress"]
        for peer in rule["to"]
        if "ipBlock" in peer
        for port in rule["ports"]
    }


def test_ingest_knows_its_source_and_no_other(on_azure: tuple[str, list[Object]]) -> None:
    source, rendered = on_azure
    known = {name for name in variables(rendered, "ingest") if name.startswith(("KAFKA", "HANNUN_SERVICE_BUS"))}
    assert known == {
        "event-hubs": {
            "KAFKA_BOOTSTRAP_SERVERS", "KAFKA_SECURITY_PROTOCOL", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD_FILE"
        },
        "service-bus": {"HANNUN_SERVICE_BUS_NAMESPACE"},
    }[source]  # fmt: skip


def test_ingest_reaches_its_source_and_no_other(on_azure: tuple[str, list[Object]]) -> None:
    """Service Bus needs a token of Azure's identity service too, which is outside."""
    source, rendered = on_azure
    stores = {("10.20.8.0/28", 5432), (PRIVATE, 10000)}
    assert (
        reached(rendered, "ingest")
        == stores
        | {
            "event-hubs": {(PRIVATE, 9093)},
            "service-bus": {(PRIVATE, 5671), (PRIVATE, 443), ("0.0.0.0/0", 443)},
        }[source]
    )


def test_keda_asks_the_source_how_much_waits(on_azure: tuple[str, list[Object]]) -> None:
    source, rendered = on_azure
    triggers = found(rendered, "ScaledObject", "ingest")["spec"]["triggers"]
    assert len(triggers) == 5
    assert all(one["authenticationRef"] == {"name": "hannun-ingest"} for one in triggers)
    authentication = found(rendered, "TriggerAuthentication", "ingest")["spec"]
    (registrations,) = [one for one in triggers if "participant-registered" in one["metadata"].values()]
    if source == "service-bus":
        assert registrations["type"] == "azure-servicebus"
        assert registrations["metadata"] == {
            "namespace": "hannun-prod-bus", "queueName": "participant-registered", "messageCount": "3000"
        }  # fmt: skip
        assert set(authentication) == {"podIdentity"}
    else:
        assert registrations["type"] == "kafka"
        assert registrations["metadata"].items() >= {"tls": "enable", "sasl": "plaintext"}.items()
        named = [one["parameter"] for one in (*authentication["env"], *authentication["azureKeyVault"]["secrets"])]
        assert named == ["username", "password"]


def test_a_topic_of_service_bus_has_a_subscription() -> None:
    values = chart.values_on_azure("prod", "service-bus")
    values["settings"]["HANNUN_SERVICE_BUS_SUBSCRIPTION"] = "hannun"
    for trigger in found(chart.render(values), "ScaledObject", "ingest")["spec"]["triggers"]:
        assert trigger["metadata"]["subscriptionName"] == "hannun"
        assert "topicName" in trigger["metadata"]
        assert "queueName" not in trigger["metadata"]


def test_each_process_signs_in_to_azure_as_itself(on_azure: tuple[str, list[Object]]) -> None:
    _, rendered = on_azure
    identities = chart.values_on_azure("prod")["serviceAccounts"]["azureClientIds"]
    for process, identity in identities.items():
        annotations = found(rendered, "ServiceAccount", process)["metadata"]["annotations"]
        assert annotations["azure.workload.identity/client-id"] == identity
        assert found(rendered, "SecretProviderClass", process)["spec"]["parameters"]["clientID"] == identity
    for process in PROCESSES:
        labels = found(rendered, "Deployment", process)["spec"]["template"]["metadata"]["labels"]
        assert labels["azure.workload.identity/use"] == "true"


def test_a_broker_that_is_not_named_is_refused() -> None:
    values = chart.values_on_azure("prod", "event-hubs")
    del values["settings"]["KAFKA_BOOTSTRAP_SERVERS"]
    with pytest.raises(helm_python.HelmError, match="KAFKA_BOOTSTRAP_SERVERS"):
        chart.render(values)
