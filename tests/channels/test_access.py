"""The access file: what it must hold, and that its secrets stay in it."""

from pathlib import Path

import pytest

from hannun.channels.access import Access, load
from hannun.channels.declaration import shipped
from hannun.errors import OperatorError

SECRET = "sec-ret-5"


def written(folder: Path, text: str) -> str:
    path = folder / "access.toml"
    path.write_text(text)
    return str(path)


def test_an_entry_has_address_and_credentials(tmp_path: Path) -> None:
    path = written(tmp_path, f'[instagram]\naddress = "https://graph.example.com/v1/"\ntoken = "{SECRET}"')
    access = load(path, shipped())
    assert access == {"instagram": Access("https://graph.example.com/v1", {"token": SECRET})}
    assert SECRET not in repr(access)


def test_no_file_sets_no_channel_up() -> None:
    assert load("", shipped()) == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[Instagrm]", "[Instagrm]: found this name, expected one of GenieTV, Instagram"),
        ("Instagram = 3", "[Instagram]: found int, expected a table"),
        ('[Instagram]\naddress = "https://a.example"', "[Instagram]: expected the key token, found none"),
        ('[Instagram]\ntoken = "{s}"', "[Instagram]: expected the key address, found none"),
        (
            '[Instagram]\naddress = "https://a.example"\ntoken = "{s}"\nkey = "{s}"',
            "[Instagram]: found the key key, expected address, token",
        ),
        ('[Instagram]\naddress = "https://a.example"\ntoken = 5', "[Instagram]: token: expected a text of printable"),
        (
            '[Instagram]\naddress = "https://a.example"\ntoken = "{s}\\n"',
            "[Instagram]: token: expected a text of print",
        ),
        (
            '[Instagram]\naddress = "http://a.example"\ntoken = "{s}"',
            "[Instagram]: address: found http, expected https",
        ),
        ('[NaverBlog]\naddress = "https://u:{s}@a.example"', "[NaverBlog]: address: expected an address without user"),
        ('[NaverBlog]\naddress = "https://a.example/?key={s}"', "[NaverBlog]: address: expected an address without"),
        ('[NaverBlog]\naddress = "ftp://a.example"', "[NaverBlog]: address: expected an address such as https://"),
        ('[NaverBlog]\naddress = "https://"', "[NaverBlog]: address: expected an address such as"),
        ('[NaverBlog]\naddress = "https://a.example:99999"', "[NaverBlog]: address: expected an address such as"),
        ('[NaverBlog]\naddress = "https://[::1"', "[NaverBlog]: address: expected an address such as"),
        ('token = "{s}', "is not TOML"),
        ("[" * 100_000, "is not TOML"),
        ("#" * 300_000, "has more than 262144 bytes"),
    ],
)
def test_a_refused_file_says_what_is_wrong_and_no_secret(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(OperatorError) as raised:
        load(written(tmp_path, text.replace("{s}", SECRET)), shipped())
    assert problem in str(raised.value)
    assert SECRET not in str(raised.value)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="No such file"):
        load(str(tmp_path / "absent"), shipped())
    (tmp_path / "latin").write_bytes(b'a = "\xe9"')
    with pytest.raises(OperatorError, match="is not TOML"):
        load(str(tmp_path / "latin"), shipped())


def test_http_is_allowed_where_private_addresses_are(tmp_path: Path) -> None:
    path = written(tmp_path, '[NaverBlog]\naddress = "http://127.0.0.1:8090/naver"')
    assert load(path, shipped(), private_addresses=True)["naverblog"].address == "http://127.0.0.1:8090/naver"
