"""Request bodies: bounded in size, unpacked, decoded into structs."""

from typing import TypeVar

import msgspec
from fastapi import Request

from hannun import deadlines
from hannun.domain.field_values import without_byte_order_mark
from hannun.errors import BadRequest
from hannun.web.body_encodings import PACKED_OVERHEAD_BYTES_MAX, body_encoding, unpack
from hannun.web.services import services_of

STRUCT_BYTES_MAX = 16_384

T = TypeVar("T")


async def read_body(request: Request, bytes_max: int) -> bytes:
    """The request's body, unpacked where it was sent with a content encoding.

    Raises:
        BadRequest: it is longer than `bytes_max` (413), has an encoding that is not accepted (415), or cannot be
            unpacked (400). Nothing beyond the limit is read, or unpacked.
    """
    encoding = body_encoding(request.headers.getlist("content-encoding"))
    if encoding is None:
        return await _received(request, bytes_max, bytes_max)
    packed = await _received(request, bytes_max + PACKED_OVERHEAD_BYTES_MAX, bytes_max)
    body = unpack(packed, encoding, bytes_max)
    if body is None:
        raise _too_large(bytes_max)
    return body


async def _received(request: Request, received_max: int, bytes_max: int) -> bytes:
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > received_max:
        raise _too_large(bytes_max)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > received_max:
            raise _too_large(bytes_max)
    services = await services_of(request)
    deadlines.restart(services.request_s)  # the time until here was the client's
    return bytes(body)


def _too_large(bytes_max: int) -> BadRequest:
    return BadRequest(
        "the body has more than {bytes_max} bytes, the maximum: send it in parts",
        code="body-too-large",
        bytes_max=bytes_max,
    )


async def read_struct(request: Request, type_: type[T], *, invalid: BadRequest) -> T:
    """The request's JSON body as a struct, of at most `STRUCT_BYTES_MAX`.

    Raises:
        BadRequest: `invalid`, where the body is not JSON of this form; or those of `read_body`.
    """
    body = await read_body(request, STRUCT_BYTES_MAX)
    try:
        return msgspec.json.decode(without_byte_order_mark(body), type=type_)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid from error
