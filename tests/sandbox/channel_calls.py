"""Calls the channel sandbox as the documentation of each channel's API says, without the declarations of Hannun."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx2
import msgspec

from hannun.sandbox.channels.numbers import Sources
from hannun.sandbox.channels.server import Sandbox, listen, serving_in_thread
from hannun.sandbox.channels.shape import Shape, load_all
from hannun.sandbox.platform import Platform

FOUNDED = datetime(2026, 5, 13, 3, 20, tzinfo=UTC)
NOW = "2026-05-13T12:20:00+09:00"
PLATFORM = Platform(7, FOUNDED)
CHANNELS = ["GenieTV", "Instagram", "KakaoChannel", "NaverBlog", "RingoBiz", "WooriTV"]
WAIT_S = 20.0

Numbers = dict[str, dict[str, Any]]


class Api:
    """The six APIs at one address. The clock of the sandbox stands still at `NOW`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.http = httpx2.Client(timeout=WAIT_S)
        self.reset()

    # -- control

    def reset(self) -> None:
        assert self.http.delete(f"{self.address}/_control").status_code == 200
        self.set_clock(now=NOW, stopped=True)
        issued = self.http.post(
            f"{self.address}/RingoBiz/oauth/token",
            data={"grant_type": "client_credentials", "scope": "report"},
            auth=("sandbox-ringo", "sandbox-ringo-secret"),
        )
        self.token = issued.json()["access_token"]

    def set_clock(self, **setting: object) -> None:
        assert self.http.put(f"{self.address}/_clock", json=setting).status_code == 200

    def tell(self, channel: str, behaviour: str, **instruction: object) -> None:
        told = self.http.put(f"{self.address}/_control/{channel}/{behaviour}", json=instruction)
        assert told.status_code == 200, told.text

    def forget(self, channel: str) -> None:
        assert self.http.delete(f"{self.address}/_control/{channel}").status_code == 200

    def state(self, channel: str) -> dict[str, Any]:
        state: dict[str, Any] = self.http.get(f"{self.address}/_control").json()["channels"][channel]
        return state

    # -- calls

    def request(self, channel: str, *ids: str, page: str = "", at: str = "") -> httpx2.Request:
        """A call for these ids, with all that the API wants."""
        joined = ",".join(ids)
        parameters: dict[str, str] = {}
        headers: dict[str, str] = {}
        body: dict[str, object] | None = None
        match channel:
            case "WooriTV":
                path = "/v3/videos"
                parameters = {"part": "statistics", "id": joined, "key": "sandbox-woori-key"}
                parameters |= {"pageToken": page} if page else {}
            case "GenieTV":
                path = "/stats"
                parameters = {"ids": joined, "page": page or "1", "size": "50"}
                headers = sign(path)
            case "RingoBiz":
                path = "/v1/reports/calls"
                body = {"campaigns": list(ids), "columns": ["dialed"], **({"cursor": page} if page else {})}
                headers = {"Authorization": f"Bearer {self.token}"}
            case "Instagram":
                path = f"/v27.0/{joined}/insights"
                parameters = {"metric": "views,likes,comments,shares"}
                headers = {"Authorization": "Bearer sandbox-instagram-token"}
            case "NaverBlog":
                path, parameters = "/posts/stats", {"post": joined}
            case _:
                path = "/openapi/v4/creatives/report"
                parameters = {"creativeId": joined, "metricsGroup": "MESSAGE,PIXEL_SDK_CONVERSION"}
                headers = {"Authorization": "Bearer sandbox-kakao-token", "adAccountId": "300001"}
        url = (at or f"{self.address}/{channel}") + path
        method = "GET" if body is None else "POST"
        return self.http.build_request(method, url, params=parameters, headers=headers, json=body)

    def call(self, channel: str, *ids: str, page: str = "") -> httpx2.Response:
        return self.http.send(self.request(channel, *ids, page=page))

    def numbers(self, channel: str, *ids: str, page: str = "") -> Numbers:
        """What the API says of these events, by id."""
        response = self.call(channel, *ids, page=page)
        assert response.status_code == 200, response.text
        return read(channel, response.json(), ids[0])


def read(channel: str, body: Any, asked: str) -> Numbers:
    """The numbers in a body, by id and by the API's own names."""
    match channel:
        case "WooriTV":
            return {item["id"]: item["statistics"] for item in body["items"]}
        case "GenieTV":
            return {item["id"]: {k: v for k, v in item.items() if k != "id"} for item in body["data"]}
        case "RingoBiz":
            names = [column["name"] for column in body["columns"]]
            return {row[0]: dict(zip(names[1:], row[1:], strict=True)) for row in body["rows"]}
        case "Instagram":
            metrics = {item["name"]: item["values"][0]["value"] for item in body["data"]}
            return {asked: metrics} if metrics else {}
        case "NaverBlog":
            return {id_: {**post.pop("visits", {}), **post} for id_, post in body["posts"].items()}
        case _:
            return {item["dimensions"]["creative_id"]: item["metrics"] for item in body["data"]}


def sign(path: str, *, ago_s: float = 0.0, secret: str = "sandbox-genie-secret") -> dict[str, str]:
    """The headers of a signed request."""
    timestamp = str(int((time.time() - ago_s) * 1_000))
    digest = hmac.new(secret.encode(), f"{timestamp}.GET.{path}".encode(), hashlib.sha256).digest()
    signature = base64.b64encode(digest).decode()
    return {
        "X-Timestamp": timestamp,
        "X-API-KEY": "sandbox-genie-key",
        "X-Customer": "1024",
        "X-Signature": signature,
    }


def trusting(certificate: str) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=certificate)


def without_budgets(shapes: Mapping[str, Shape]) -> dict[str, Shape]:
    return {name: msgspec.structs.replace(shape, budget=[]) for name, shape in shapes.items()}


@contextmanager
def running_api(shapes: Mapping[str, Shape] | None = None, *, tls: bool = False) -> Iterator[Api]:
    sandbox = Sandbox.of(load_all() if shapes is None else shapes, Sources(PLATFORM))
    with serving_in_thread(sandbox, listen(0), tls=tls) as address:
        api = Api(address)
        yield api
        api.http.close()
