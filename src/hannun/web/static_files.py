"""The files of the page: kept by browsers for ever under an address with their version, and compressed once.

    /static/{version}/app.js   the version is a hash of all files: another content has another address
    /static/app.js             the same file, which a browser requests again each time

The documents (`/`, `/docs`) name files by the first address, and browsers request them again each time. Modules import
each other by relative paths, so they stay in one version. Two kinds of files are made of others: a style sheet with
those that it imports, and the linked modules (`linked_modules.py`). Linking takes 0.1 s, so it is done after the start,
or by the first request for a linked file: the version follows from the sources and from the linker's own code.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path, PurePosixPath
from threading import Lock

from anyio import to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from hannun.files import Format
from hannun.web import linked_modules
from hannun.web.compression import BODY_BYTES_MIN, Encoding, accepted_encoding, pack_small
from hannun.web.etags import matches
from hannun.web.linked_modules import LINKED, linked_files

FOLDER = Path(__file__).parent / "static"
KEPT_FOR_EVER = "public, max-age=31536000, immutable"
"""For a year: the longest that browsers keep anything."""
REVALIDATED = "no-cache"
_OFFERED = (Format.XLSX, Format.CSV, Format.PARQUET)
"""In the order of the page."""
_SIGN_IN = b'name="sign-in-url" content=""'
_STYLE_IMPORT = re.compile(rb'^@import url\("([^"]+)"\);$', re.MULTILINE)
_LINKED_ENTRY = re.compile(rb'"/static/linked/([^"]+)"')
_VERSION = re.compile("[0-9a-f]{16}", re.ASCII)
THEME_COOKIES = ("__Host-hannun_theme", "hannun_theme")
"""The names over TLS, and without it."""
_THEMES = ("light", "dark")
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".map": "application/json",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file in memory. `packed` holds its compressed bodies, each made by the first request for it."""

    body: bytes
    media_type: str
    packed: dict[Encoding, bytes] = field(default_factory=dict)
    packing: Lock = field(default_factory=Lock)

    @property
    def etag(self) -> str:
        return f'W/"{_digest(self.body)}"'

    async def response(self, request: Request, cache_control: str, vary: str = "Accept-Encoding") -> Response:
        headers = {"ETag": self.etag, "Cache-Control": cache_control, "Vary": vary}
        if matches(request.headers.get("if-none-match"), self.etag):
            return Response(status_code=304, headers=headers)
        encoding = accepted_encoding(", ".join(request.headers.getlist("accept-encoding")))
        if encoding is None or len(self.body) <= BODY_BYTES_MIN:
            return Response(self.body, headers=headers, media_type=self.media_type)
        if encoding not in self.packed:
            await to_thread.run_sync(self._pack, encoding)
        headers["Content-Encoding"] = encoding
        return Response(self.packed[encoding], headers=headers, media_type=self.media_type)

    def _pack(self, encoding: Encoding) -> None:
        with self.packing:  # of several first requests, one packs the file and the others wait for it
            if encoding not in self.packed:
                self.packed[encoding] = pack_small(encoding, self.body)


class StaticFiles:
    """All files of a folder, read once. An ASGI application for the requests of `/static`.

    Attributes:
        version: a hash of all files, and of the code that links them.
    """

    def __init__(self, folder: Path) -> None:
        bodies = {
            path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
        }
        entries = {
            entry.decode()
            for name, body in bodies.items()
            if name.endswith(".html")
            for entry in _LINKED_ENTRY.findall(body)
        }
        self._entries = sorted(entries)
        self._linked: dict[str, StaticFile] | None = None
        self._linking = Lock()
        linker = Path(linked_modules.__file__).read_bytes()
        bodies |= {name: _with_imports(name, bodies) for name in bodies if name.endswith(".css")}
        self.version = _digest(linker, *(part for name in sorted(bodies) for part in (name.encode(), bodies[name])))
        self._files = {name: StaticFile(body, _media_type_of(name)) for name, body in bodies.items()}
        self._documents = {
            (name, theme): StaticFile(
                _with_theme(_with_installed_formats(self._with_versions(file.body)), theme), file.media_type
            )
            for name, file in self._files.items()
            if name.endswith(".html")
            for theme in (None, *_THEMES)
        }
        self._with_sign_in: dict[tuple[str | None, str], StaticFile] = {}

    def _with_versions(self, document: bytes) -> bytes:
        return document.replace(b'"/static/', f'"/static/{self.version}/'.encode())

    def document(self, name: str, theme: str | None = None) -> StaticFile:
        """A document whose addresses of files have their version, in the theme that somebody has chosen."""
        return self._documents[name, theme]

    def page(self, theme: str | None, sign_in_url: str) -> StaticFile:
        """The document of the page, whose sign-in leads to this address of the platform; "" leads nowhere."""
        key = (theme, sign_in_url)
        if key not in self._with_sign_in:
            file = self.document("index.html", theme)
            content = f'name="sign-in-url" content="{escape(sign_in_url)}"'.encode()
            self._with_sign_in[key] = StaticFile(file.body.replace(_SIGN_IN, content), file.media_type)
        return self._with_sign_in[key]

    def file(self, name: str) -> StaticFile:
        """A file as it is served. KeyError: there is none."""
        return self.linked()[name] if name.startswith(LINKED) else self._files[name]

    def linked(self) -> Mapping[str, StaticFile]:
        """The linked files by their names. The first call links them, and others wait for it.

        Raises:
            LinkError: a module cannot be linked.
        """
        with self._linking:
            if self._linked is None:
                sources = {name: file.body for name, file in self._files.items()}
                bodies = linked_files(sources, self._entries)
                self._linked = {name: StaticFile(body, _media_type_of(name)) for name, body in bodies.items()}
            return self._linked

    async def _found(self, name: str) -> StaticFile | None:
        if not name.startswith(LINKED):
            return self._files.get(name)
        files = self._linked
        return (await to_thread.run_sync(self.linked) if files is None else files).get(name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            raise HTTPException(405, headers={"Allow": "GET, HEAD"})
        path = scope["path"].removeprefix(scope.get("root_path", "")).removeprefix("/")
        version, _, name = path.partition("/")
        # Of another version, as while a new one is rolled out, there is the file of this one: no browser may keep it.
        file = await self._found(name if _VERSION.fullmatch(version) else path)
        if file is None:
            raise HTTPException(404)
        response = await file.response(Request(scope), KEPT_FOR_EVER if version == self.version else REVALIDATED)
        await response(scope, receive, send)


def _with_imports(name: str, bodies: Mapping[str, bytes]) -> bytes:
    """A style sheet with the files that it imports in place of its imports, so that a browser requests one file."""
    folder = PurePosixPath(name).parent
    return _STYLE_IMPORT.sub(lambda found: bodies[str(folder / found[1].decode())], bodies[name])


def _with_installed_formats(document: bytes) -> bytes:
    """The document, whose page offers only exports that can be made here."""
    every, installed = (
        f'name="export-formats" content="{" ".join(formats)}"'.encode()
        for formats in (_OFFERED, [form for form in _OFFERED if form.missing is None])
    )
    return document.replace(every, installed)


def _with_theme(document: bytes, theme: str | None) -> bytes:
    return document if theme is None else document.replace(b"<html ", f'<html data-theme="{theme}" '.encode(), 1)


def chosen_theme(request: Request) -> str | None:
    """The theme that the page's switch has stored in this browser; None follows the system."""
    stored = map(request.cookies.get, THEME_COOKIES)
    return next((theme for theme in stored if theme in _THEMES), None)


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
