"""Request bodies: bounded in size, decoded into structs."""

from typing import TypeVar

import msgspec
from fastapi import Request

from hannun import deadlines
from hannun.domain.field_values import without_byte_order_mark
from hannun.errors import BadRequest
from hannun.web.services import services_of

STRUCT_BYTES_MAX = 16_384

T = TypeVar("T")


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The request's body.

    Raises:
        BadRequest: it is longer than `bytes_max` (413). Nothing beyond the limit is read.
    """
    too_large = BadRequest(
        "the body has more than {bytes_max} bytes, the maximum: send it in parts",
        code="body-too-large",
        bytes_max=bytes_max,
    )
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > bytes_max:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > bytes_max:
            raise too_large
    services = await services_of(request)
    deadlines.restart(services.request_s)  # the time until here was the client's
    return bytes(body)


async def read_struct(request: Request, type_: type[T], *, invalid: BadRequest) -> T:
    """The request's JSON body as a struct, of at most `STRUCT_BYTES_MAX`.

    Raises:
        BadRequest: `invalid`, where the body is not JSON of this form; or the body is too long (413).
    """
    body = await read_body(request, STRUCT_BYTES_MAX)
    try:
        return msgspec.json.decode(without_byte_order_mark(body), type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid from error
