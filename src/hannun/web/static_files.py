"""The files of the page: kept by browsers for ever under an address with their version, and compressed once.

    /static/{version}/app.js   the version is a hash of all files: another content has another address
    /static/app.js             the same file, which a browser requests again each time

The documents (`/`, `/docs`) name files by the first address, and browsers request them again each time. Modules import
each other by relative paths, so they stay in one version.
"""

import hashlib
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hannun.files import Format
from hannun.web.compression import BODY_BYTES_MIN, Encoding, accepted_encoding, pack_off_loop
from hannun.web.etags import matches

FOLDER = Path(__file__).parent / "static"
KEPT_FOR_EVER = "public, max-age=31536000, immutable"
"""For a year: the longest that browsers keep anything."""
REVALIDATED = "no-cache"
_OFFERED = (Format.XLSX, Format.CSV, Format.PARQUET)
"""In the order of the page."""
_VERSION = re.compile("[0-9a-f]{16}", re.ASCII)
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file in memory. `packed` holds its compressed bodies, each made by the first request for it."""

    body: bytes
    media_type: str
    packed: dict[Encoding, bytes] = field(default_factory=dict)

    @property
    def etag(self) -> str:
        return f'W/"{_digest(self.body)}"'

    async def response(self, request: Request, cache_control: str) -> Response:
        headers = {"ETag": self.etag, "Cache-Control": cache_control, "Vary": "Accept-Encoding"}
        if matches(request.headers.get("if-none-match"), self.etag):
            return Response(status_code=304, headers=headers)
        encoding = accepted_encoding(", ".join(request.headers.getlist("accept-encoding")))
        if encoding is None or len(self.body) <= BODY_BYTES_MIN:
            return Response(self.body, headers=headers, media_type=self.media_type)
        if encoding not in self.packed:
            self.packed[encoding] = await pack_off_loop(encoding, self.body)
        headers["Content-Encoding"] = encoding
        return Response(self.packed[encoding], headers=headers, media_type=self.media_type)


class StaticFiles:
    """All files of a folder, read once. An ASGI application for the requests of `/static`.

    Attributes:
        version: a hash of all files.
    """

    def __init__(self, folder: Path) -> None:
        bodies = {
            path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }
        self.version = _digest(*(part for name in sorted(bodies) for part in (name.encode(), bodies[name])))
        self._files = {name: StaticFile(body, _media_type_of(name)) for name, body in bodies.items()}
        self._documents = {
            name: StaticFile(_with_installed_formats(self._with_versions(file.body)), file.media_type)
            for name, file in self._files.items()
            if name.endswith(".html")
        }

    def _with_versions(self, document: bytes) -> bytes:
        return document.replace(b'"/static/', f'"/static/{self.version}/'.encode())

    def document(self, name: str) -> StaticFile:
        """A document whose addresses of files have their version."""
        return self._documents[name]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})
        path = scope["path"].removeprefix(scope.get("root_path", "")).removeprefix("/")
        version, _, name = path.partition("/")
        # Of another version, as while a new one is rolled out, there is the file of this one: no browser may keep it.
        file = self._files.get(name if _VERSION.fullmatch(version) else path)
        if file is None:
            raise HTTPException(404)
        response = await file.response(Request(scope), KEPT_FOR_EVER if version == self.version else REVALIDATED)
        await response(scope, receive, send)


def _with_installed_formats(document: bytes) -> bytes:
    """The document, whose page offers only exports that can be made here."""
    every, installed = (
        f'name="export-formats" content="{" ".join(formats)}"'.encode()
        for formats in (_OFFERED, [form for form in _OFFERED if form.missing is None])
    )
    return document.replace(every, installed)


@cache
def static_files() -> StaticFiles:
    """The files of this service."""
    return StaticFiles(FOLDER)


def _digest(*parts: bytes) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        digest.update(b"%d:" % len(part) + part)
    return digest.hexdigest()


def _media_type_of(name: str) -> str:
    return _MEDIA_TYPES.get(Path(name).suffix, "text/plain; charset=utf-8")
