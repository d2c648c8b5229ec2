"""A response of the API that no cache keeps: JSON with `Cache-Control: no-store`."""

from collections.abc import Mapping

from fastapi import Response

from hannun.domain.response_schemas import ApiStruct, encode


def uncached_json(body: ApiStruct | bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The response with a body that is a structure, or JSON already."""
    content = body if isinstance(body, bytes) else encode(body)
    return Response(content, status, {"Cache-Control": "no-store", **(headers or {})}, "application/json")
