"""The requests of docs/api.md get the answers that docs/api.md shows."""

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "web"))

from served import Site, open_site
from world import World

DOCUMENT = (Path(__file__).parents[2] / "docs/api.md").read_text(encoding="utf-8")
EXAMPLES = Path(__file__).parents[2] / "src/hannun/web/examples.json"
SHOWN = re.findall(r"```sh\n(curl .*?)\n```\n(?:```json\n(.*?)\n```)?", DOCUMENT, re.DOTALL)


def assert_shape(shown: Any, answered: Any, where: str = "$") -> None:
    """Assert that the answer has every shown field, with the same type; "..." stands for further fields."""
    if isinstance(shown, dict):
        assert isinstance(answered, dict), where
        for name, value in shown.items():
            if name != "...":
                assert name in answered, f"{where}.{name}"
                assert_shape(value, answered[name], f"{where}.{name}")
    elif isinstance(shown, list):
        assert isinstance(answered, list), where
        for value in shown[:1]:
            assert answered, where
            assert_shape(value, answered[0], f"{where}[0]")
    elif shown is not None and answered is not None:
        number = (int, float)
        same = isinstance(
            answered, number if isinstance(shown, number) and not isinstance(shown, bool) else type(shown)
        )
        assert same, f"{where}: docs/api.md shows {shown!r}, the service answers {answered!r}"


def test_every_request_gets_the_answer_that_is_shown(world: World) -> None:
    assert len(SHOWN) >= 8
    messages = json.loads(EXAMPLES.read_text(encoding="utf-8"))["sendMessages"]["body"]
    event, user = messages[0]["eventId"], messages[0]["userId"]
    with open_site(world, requests_a_minute=0) as site:
        site.set_now("2026-11-23T03:00:00+00:00")
        assert site.service.post("/api/v1/messages", json=messages).json()["deadLettered"] == 0
        for command, shown in SHOWN:
            if "/shares" in command:
                continue  # it needs an expiry in the future; tests/contract sends it
            asked = command.replace("$EVENT", event).replace("$MERCHANT", user)
            address = next(word for word in shlex.split(asked) if word.startswith("localhost"))
            client = site.service if "$SERVICE_TOKEN" in command else site.signed_in(user)
            path = address.removeprefix("localhost:8080")
            body = shlex.split(asked)[-1] if " -d " in command else None
            answer = client.request("POST" if body else "GET", path, content=body)
            assert answer.status_code == 200, (command, answer.text)
            if shown:
                assert_shape(json.loads(shown), answer.json())


def test_the_problem_that_is_shown_is_the_one_that_is_answered(site: Site) -> None:
    shown = json.loads(next(re.finditer(r"```json\n(\{\"type\".*?)\n```", DOCUMENT, re.DOTALL))[1])
    site.send(site.world.created("e1"))
    answer = site.owner.get(f"{shown['instance']}?startDate=1971-01-01&endDate=2200-01-01")
    assert (answer.status_code, answer.json()) == (shown["status"], shown)
    korean = site.owner.get(str(answer.url), headers={"Accept-Language": "ko-KR, en;q=0.5"})
    assert korean.headers["content-language"] == "ko"
    assert korean.json()["title"] == "기간이 너무 깁니다"
    assert korean.json()["detail"] == "기간은 36525일까지 조회할 수 있습니다. 줄여서 요청해 주세요"


@pytest.fixture
def site(world: World) -> Any:
    with open_site(world) as site:
        yield site
