"""The page's files over HTTP: versioned, kept for ever, compressed once."""

import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from served import Site
from starlette.testclient import TestClient

from hannun.web.compression import Encoding, pack, pack_small
from hannun.web.linked_modules import linked_files
from hannun.web.static_files import KEPT_FOR_EVER, REVALIDATED, StaticFiles, static_files


def named_in(document: str) -> list[str]:
    """The addresses of files that a document names."""
    return re.findall(r'(?:src|href)="(/static/[^"]+)"', document)


@pytest.mark.parametrize("path", ["/", "/docs", "/events/some-event", "/users/some-user"])
def test_a_document_names_files_that_are_kept_for_ever_and_is_itself_asked_for_again(site: Site, path: str) -> None:
    document = site.anonymous.get(path)
    assert document.headers["cache-control"] == REVALIDATED
    assert document.headers["content-type"] == "text/html; charset=utf-8"
    files = named_in(document.text)
    assert len(files) >= 4
    for file in files:
        answer = site.anonymous.get(file)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, KEPT_FOR_EVER), file
        name = re.sub("^/static/[0-9a-f]{16}/", "", file)
        assert answer.content == static_files().file(name).body
        assert (
            answer.headers["content-type"].split(";")[0]
            in {
                ".js": "text/javascript",
                ".css": "text/css",
                ".svg": "image/svg+xml",
                ".webmanifest": "application/manifest+json",
            }[Path(name).suffix]
        )
    tag = document.headers["etag"]
    again = site.anonymous.get(path, headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)


def test_a_file_without_a_version_or_of_another_one_is_not_kept(site: Site) -> None:
    for address in ("/static/app.js", f"/static/{'0' * 16}/app.js", "/static/vendor/LICENSE.preact"):
        answer = site.anonymous.get(address)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, REVALIDATED)
        assert site.anonymous.get(address, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    for address in ("/static/vendor/app.js", "/static/app.py", "/static/%2e%2e/app.py", "/static/vendor", "/static"):
        assert site.anonymous.get(address).status_code == 404, address


def test_any_other_content_gives_every_file_another_address(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text('<script src="/static/a.js"></script>')
    versions = set()
    for name, text in (("a.js", "1"), ("a.js", "2"), ("b.js", "1"), ("b.js", "12")):
        (tmp_path / name).write_text(text)
        files = StaticFiles(tmp_path)
        versions.add(files.version)
        assert files.document("index.html").body == f'<script src="/static/{files.version}/a.js"></script>'.encode()
    assert len(versions) == 4
    assert StaticFiles(tmp_path).version == files.version


def test_modules_are_linked_once_also_for_many_first_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    linked: list[list[str]] = []

    def record(sources: Mapping[str, bytes], entries: list[str]) -> dict[str, bytes]:
        linked.append(entries)
        return linked_files(sources, entries)

    monkeypatch.setattr("hannun.web.static_files.linked_files", record)
    (tmp_path / "index.html").write_text('<script src="/static/linked/a.js"></script>')
    (tmp_path / "a.js").write_text("document.title = 1;\n")
    client = TestClient(StaticFiles(tmp_path))
    assert (linked, client.get("/a.js").status_code) == ([], 200)
    with ThreadPoolExecutor() as threads:
        answers = threads.map(client.get, ["/linked/a.js", "/linked/a.js.map"] * 5)
        assert [answer.status_code for answer in answers] == [200] * 10
    assert linked == [["a.js"]]


def test_another_linker_gives_every_file_another_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linked files are made after the version, so it also follows from the code that makes them."""
    (tmp_path / "linker.py").write_text("# another one")
    before = StaticFiles(tmp_path).version
    monkeypatch.setattr("hannun.web.linked_modules.__file__", str(tmp_path / "linker.py"))
    assert StaticFiles(tmp_path).version != before


def test_a_file_is_compressed_once_also_for_many_first_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed: list[Encoding] = []

    def record(encoding: Encoding, body: bytes) -> bytes:
        packed.append(encoding)
        return pack(encoding, body)

    monkeypatch.setattr("hannun.web.static_files.pack_small", record)
    (tmp_path / "a.js").write_text("let a = 1;\n" * 1_000)
    client = TestClient(StaticFiles(tmp_path))
    with ThreadPoolExecutor() as threads:
        get = partial(client.get, "/a.js")
        encodings = ["br", "gzip", "identity"] * 5
        for answer in threads.map(lambda encoding: get(headers={"Accept-Encoding": encoding}), encodings):
            assert answer.text == "let a = 1;\n" * 1_000
    assert sorted(packed) == ["br", "gzip"]


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip"])
def test_a_file_is_packed_smaller_than_an_answer(encoding: Encoding) -> None:
    body = static_files().file("linked/app.js").body
    assert len(pack_small(encoding, body)) < len(pack(encoding, body))
    assert len(pack_small(encoding, body * 10)) == len(pack(encoding, body * 10))  # that would take seconds
