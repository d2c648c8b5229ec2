"""The OpenAPI document: the service does what it promises, and a change of it does not go unnoticed."""

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import validator_for
from served import Site

from hannun.web.contract import ROUTE_CONTRACTS
from hannun.web.problem_codes import CODES

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import contract  # noqa: E402  # a tool of the repository, not of the package

EXAMPLES = ROOT / "src/hannun/web/examples.json"
CHANGING = {"lastUpdatedAt", "asOf", "createdAt", "shareId", "address", "expiresAt", "measuredAt"}
Json = dict[str, Any]


@pytest.fixture(scope="module")
def document() -> Json:
    return dict(json.loads(contract.generate()))


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


# -- its content


def test_the_document_in_the_repository_is_the_one_the_code_generates() -> None:
    assert contract.CURRENT.read_text(encoding="utf-8") == contract.generate(), contract.HINT


def test_only_accepted_changes_break_clients_of_the_released_document(document: Json) -> None:
    released = json.loads(contract.RELEASED.read_text(encoding="utf-8"))
    assert released["paths"].keys() >= {"/api/v1/events/{eventId}/analytics", "/api/v1/users/{userId}/analytics"}
    changes = contract.breaking_changes_since_release(document)
    assert list(contract.differences(changes, contract.accepted_since_release())) == [], (
        "see docs/api.md: what is released stays"
    )


def test_every_operation_documents_its_responses_and_problems(document: Json) -> None:
    names = [operation["operationId"] for *_, operation in operations(document)]
    assert len(names) == len(set(names)) == len(ROUTE_CONTRACTS)
    for path, method, operation in operations(document):
        where = f"{method} {path}"
        assert operation["summary"] and operation["security"] and "422" not in operation["responses"], where
        for status, response in operation["responses"].items():
            for kind, content in response.get("content", {}).items():
                assert content["schema"], where
                assert (kind == "application/problem+json") == (status >= "400"), where
            assert ("Retry-After" in response.get("headers", {})) == (status in ("429", "503")), where
            assert ("WWW-Authenticate" in response.get("headers", {})) == (status == "401"), where


def test_every_figure_has_a_unit(document: Json) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Summary"]["properties"]["totalParticipants"]["x-unit"] == "count"
    for name in ("Summary", "ChannelRates", "Roi", "Investment", "Revenue", "Delta"):
        for field, schema in schemas[name]["properties"].items():
            kinds = [each for each in schema.get("anyOf", [schema]) if each.get("type") in ("integer", "number")]
            assert all("x-unit" in each for each in kinds), f"{name}.{field}"
    assert schemas["Problem"]["properties"]["code"]["enum"] == sorted(CODES)


# -- changes that would break clients


def _change(change: Callable[[Json], Any]) -> Callable[[Json], Json]:
    def changed(document: Json) -> Json:
        new = copy.deepcopy(document)
        change(new)
        return new

    return changed


def _view(document: Json) -> Json:
    return document["paths"]["/api/v1/events/{eventId}/analytics/timeline"]["get"]


def _schema(document: Json, name: str) -> Json:
    return document["components"]["schemas"][name]


BREAKING = {
    "GET /api/v1/events/{eventId}/analytics/timeline: was removed": lambda d: d["paths"].pop(
        "/api/v1/events/{eventId}/analytics/timeline"
    ),
    "parameter tz was removed": lambda d: _view(d)["parameters"].remove(
        next(each for each in _view(d)["parameters"] if each["name"] == "tz")
    ),
    "parameter tz is required now": lambda d: next(
        each for each in _view(d)["parameters"] if each["name"] == "tz"
    ).update(required=True),
    "accepts only minute, hourly now": lambda d: _schema(d, "Granularity").update(enum=["minute", "hourly"]),
    "dataPoints was removed": lambda d: _schema(d, "EventTimeline")["properties"].pop("dataPoints"),
    "dataPoints may be missing now": lambda d: _schema(d, "EventTimeline")["required"].remove("dataPoints"),
    "participants: integer became string": lambda d: _schema(d, "ChannelMetrics")["properties"]["participants"].update(
        type="string"
    ),
    "averageDuration: may be number now": lambda d: _schema(d, "ChannelMetrics")["properties"]["averageDuration"][
        "anyOf"
    ].append({"type": "number"}),
    "x-unit percent became KRW": lambda d: _schema(d, "Summary")["properties"]["clickThroughRate"]["anyOf"][0].update(
        {"x-unit": "KRW"}
    ),
    "no longer has a header ETag": lambda d: _view(d)["responses"]["200"]["headers"].pop("ETag"),
    "304 is no longer returned": lambda d: _view(d)["responses"].pop("304"),
    "label is required now": lambda d: _schema(d, "WantedLink")["required"].append("label"),
    "accepts none of its former security schemes": lambda d: _view(d).update(security=[{"new": []}]),
}


@pytest.mark.parametrize("named", BREAKING)
def test_a_change_that_breaks_clients_is_named(document: Json, named: str) -> None:
    found = contract.breaking_changes(document, _change(BREAKING[named])(document))
    assert any(named in each for each in found), found


DECISIONS = """# The explanation.

[[decision]]
reason = "It was 0, which nobody had said."
changes = ["GET /a: 200.b: may be null now"]
"""


def test_an_accepted_change_must_be_a_change_and_no_other_is_accepted() -> None:
    accepted = contract.accepted_changes(DECISIONS)
    change = "GET /a: 200.b: may be null now"
    assert list(contract.differences([change], accepted)) == []
    assert list(contract.differences([change, "GET /c: was removed"], accepted)) == [
        "breaking change: GET /c: was removed"
    ]
    assert list(contract.differences([], accepted)) == [
        f"openapi.accepted.toml accepts what is no breaking change: {change}"
    ]


def test_an_accepted_change_needs_a_reason() -> None:
    with pytest.raises(AssertionError, match="reason"):
        contract.accepted_changes(DECISIONS.replace("It was 0, which nobody had said.", " "))


def test_a_release_empties_the_list_of_accepted_changes() -> None:
    emptied = contract.without_decisions(DECISIONS)
    assert emptied == "# The explanation.\n"
    assert contract.accepted_changes(emptied) == []


def test_an_addition_breaks_nothing(document: Json) -> None:
    def add(new: Json) -> None:
        _schema(new, "Summary")["properties"]["more"] = {"type": "string"}
        _view(new)["parameters"].append({"in": "query", "name": "more", "required": False, "schema": {}})
        new["paths"]["/api/v1/more"] = new["paths"]["/api/v1/session"]

    assert contract.breaking_changes(document, document) == []
    assert contract.breaking_changes(document, _change(add)(document)) == []


# -- the service against the document


def test_the_examples_are_real_requests_and_responses(site: Site, examples: Json) -> None:
    """HANNUN_RENEW_EXAMPLES=1 records the present responses."""
    found = copy.deepcopy(examples)
    paths = {operation["operationId"]: (path, method) for path, method, operation in operations(generated_document())}
    for name, example in found.items():
        path, method = paths[name]
        for parameter, value in example.get("path", {}).items():
            path = path.replace(f"{{{parameter}}}", value)
        client = site.signed_in("the-platform", "SERVICE") if name == "sendMessages" else site.owner
        answer = client.request(method, path, params=example.get("query"), json=example.get("body"))
        assert answer.status_code in (200, 201), (name, answer.text)
        example["answer"] = answer.json()
    if os.environ.get("HANNUN_RENEW_EXAMPLES"):
        EXAMPLES.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    else:
        assert without_changing_values(found) == without_changing_values(examples)


def test_the_examples_match_their_schemas(document: Json) -> None:
    shown = 0
    for path, method, operation in operations(document):
        for response in operation["responses"].values():
            content = response.get("content", {}).get("application/json", {})
            if "example" in content:
                schema = {**content["schema"], "components": document["components"]}
                found = list(validator_for(schema, validate_formats=True).iter_errors(content["example"]))
                assert found == [], f"{method} {path}: {found[0]}"
                shown += 1
    assert shown >= 11


def generated_document() -> Json:
    return dict(json.loads(contract.generate()))


def without_changing_values(value: Any) -> Any:
    """A response without the values that differ each time: instants and random ids."""
    if isinstance(value, dict):
        return {name: None if name in CHANGING else without_changing_values(each) for name, each in value.items()}
    return [without_changing_values(each) for each in value] if isinstance(value, list) else value


def schemathesis(site: Site, folder: Path, *arguments: str) -> None:
    """Run schemathesis with all its checks but those of `schemathesis.toml`.

    Event streams are excluded, since they never end; `test_live` covers them.
    """
    token = site.token("the-operator", "ADMIN", "SERVICE")
    done = subprocess.run(
        [
            Path(sys.executable).with_name("schemathesis"),
            "--config-file", Path(__file__).with_name("schemathesis.toml"),
            "run", f"{site.address}/openapi.json", "--header", f"Authorization: Bearer {token}",
            "--exclude-path-regex", "/live$", "--request-timeout", "20",
            "--suppress-health-check", "all", "--continue-on-failure", "--no-color", *arguments,
        ],
        cwd=folder,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": os.pathsep.join(
            [str(Path(__file__).parent), str(ROOT / "src")]
        )},
        capture_output=True,
        text=True,
        timeout=3_000,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]


def test_schemathesis_finds_nothing(site: Site, tmp_path: Path) -> None:
    schemathesis(site, tmp_path, "--phases", "examples,fuzzing,stateful", "--max-examples", "1", "--seed", "1")


@pytest.mark.faults
def test_a_generated_client_compiles_and_gets_the_same_figures(site: Site, tmp_path: Path, examples: Json) -> None:
    """The client is generated, compiled with strict types, and run. Takes 10 s, so it runs with the long tests."""
    programs = ROOT / "tools/page/node_modules/.bin"
    if not (programs / "openapi-ts").exists():
        assert os.environ.get("CI") != "true", "CI must generate a client, and the packages of tools/page are not there"
        pytest.skip("needs the packages of tools/page (npm ci)")
    shutil.copy(Path(__file__).with_name("client.ts"), tmp_path)
    (tmp_path / "node_modules").symlink_to(ROOT / "tools/page/node_modules")
    path = examples["eventDashboard"]["path"] | examples["userDashboard"]["path"]
    variables = {"ADDRESS": site.address, "TOKEN": site.token(path["userId"]), "EVENT": path["eventId"]}

    def run(*command: str | Path) -> str:
        environment = {**os.environ, **variables, "USER": path["userId"]}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(programs / "openapi-ts", "-i", str(contract.CURRENT), "-o", "client", "-c", "@hey-api/client-fetch")
    run(
        programs / "tsc", "client.ts", "--strict", "--target", "es2022", "--module", "commonjs",
        "--moduleResolution", "bundler", "--skipLibCheck", "--lib", "es2023,dom,dom.iterable",
        "--outDir", "out",
    )  # fmt: skip
    got = json.loads(run("node", "out/client.js"))
    event, user = f"/api/v1/events/{path['eventId']}/analytics", f"/api/v1/users/{path['userId']}/analytics"
    plain = {
        "dashboard": event,
        "channels": f"{event}/channels?sortBy=views&sortOrder=asc",
        "timeline": f"{event}/timeline?granularity=daily&tz=UTC",
        "roi": f"{event}/roi?includeProjection=true",
        "user": f"{user}?limit=1",
        "userChannels": f"{user}/channels",
        "userTimeline": f"{user}/timeline?granularity=weekly",
        "userRoi": f"{user}/roi",
    }
    assert got["answers"] == {name: site.owner.get(address).json() for name, address in plain.items()}
    assert got["figures"]["came"] == sum(got["figures"]["points"]) == 5
    assert got["figures"]["code"] == "unknown-zone"


@pytest.mark.faults
@pytest.mark.timeout(3_600)
def test_schemathesis_finds_nothing_in_many_requests(site: Site, tmp_path: Path) -> None:
    schemathesis(site, tmp_path, "--max-examples", "50")
