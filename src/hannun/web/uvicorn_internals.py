"""The parts of uvicorn that it does not document and that we depend on.

uvicorn bounds neither connections nor heads (docs/decisions/0017), and takes a response in parts only. Its public
interface has no place for either, so `bounded_protocol` extends its protocol and `direct_write` writes to its
transport. They depend on attributes too: tests/web/test_uvicorn_internals.py names those that a new version changed.
"""

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

__all__ = ["STATUS_LINE", "HttpToolsProtocol", "RequestResponseCycle"]
