"""The table of channels and the comparison of channel names."""

import unicodedata

import pytest

from hannun.domain.channels import Channel, ChannelType, NewChannel, extended, folded, load_table
from hannun.domain.terms import Bilingual

TABLE = load_table()


def test_the_default_table_has_the_six_channels_and_their_types() -> None:
    assert {channel.name: channel.type for channel in TABLE.known} == {
        "WooriTV": ChannelType.TV,
        "GenieTV": ChannelType.TV,
        "RingoBiz": ChannelType.VOICE,
        "Instagram": ChannelType.SNS,
        "NaverBlog": ChannelType.SNS,
        "KakaoChannel": ChannelType.SNS,
    }


@pytest.mark.parametrize("name", ["naver blog", "NAVER-BLOG", "Naver_Blog", " n a v e r b l o g ", "네이버블로그"])
def test_names_are_compared_without_case_spaces_and_dashes(name: str) -> None:
    for form in ("NFC", "NFD"):
        channel = TABLE.named(unicodedata.normalize(form, name))
        assert channel is not None and channel.name == "NaverBlog"


@pytest.mark.parametrize(
    "unseen",
    [
        "\u200b",
        "\u200d",
        "\u2060",
        "\ufeff",
        "\u00ad",
        "\u202e",
        "\x01",
        "\x7f",
        "\x9f",
        "\u034f",
        "\u3164",
        "\ufe0f",
        "\U000e0020",
    ],
)
def test_a_character_that_is_not_seen_makes_no_second_channel(unseen: str) -> None:
    for name in ("NAVER", "My Radio", "라디오", "e\u0301te"):
        spellings = [unseen.join(name), unseen + name, name + unseen, f"  {unseen} {name}{unseen}{unseen}"]
        for form in ("NFC", "NFD"):
            expected = TABLE.named(unicodedata.normalize(form, name))
            assert expected is not None
            for spelling in spellings:
                assert TABLE.named(unicodedata.normalize(form, spelling)) == expected, ascii(spelling)
    assert TABLE.named(unseen) is None


def test_a_line_break_in_a_name_is_shown_as_a_space() -> None:
    channel = TABLE.named("My\tRadio\r\n1\n")
    assert channel is not None and (channel.key, channel.name) == ("myradio1", "My Radio  1")


@pytest.mark.parametrize("name", ["", " ", "-_-", "x" * 51, "a,b", ",", "NAVER,"])
def test_a_blank_or_too_long_name_is_no_channel(name: str) -> None:
    assert TABLE.named(name) is None


def test_folding_twice_is_folding_once() -> None:
    for name in ("Straße", "İstanbul", "ＮＡＶＥＲ", "우리동네TV", "ΑΣ", "\u0390x"):
        assert folded(folded(name)) == folded(name)
        assert folded(unicodedata.normalize("NFD", name)) == folded(name)


def test_a_table_is_read_from_toml() -> None:
    table = load_table('[Radio]\ntype = "VOICE"\naliases = ["라디오", "FM 1"]')
    assert [channel.name for channel in table.known] == ["Radio"]
    assert table.named("fm-1") == table.named("라디오") == table.named("RADIO")
    naver = table.named("NAVER")
    assert naver is not None and naver.type is None


@pytest.mark.parametrize(
    ("table", "error"),
    [
        ('[A]\ntype = "TV"\naliases = ["x"]\n[B]\ntype = "TV"\naliases = ["X"]', "a spelling of both A and B"),
        ('[A-b]\ntype = "TV"\n[ab]\ntype = "SNS"', "a spelling of both"),
        ('[A]\ntype = "PRINT"', "PRINT"),
        ('["A,b"]\ntype = "TV"', "has a comma"),
        ('[A]\ntype = "TV"\naliases = ["x,y"]', "has a comma"),
        ('[A]\ntype = "TV"\ntitle = "x"', "the title of A is 'x', expected texts ko and en"),
        ('[A]\ntype = "TV"\ntitle = { ko = "x" }', "expected texts ko and en"),
        ('[A]\ntype = "TV"\ntitle = { ko = "x", en = 1 }', "the title of A is 1, expected 1 to 50"),
        ('[A]\ntype = "TV"\ntitle = { ko = "x", en = "" }', "the title of A is '', expected 1 to 50"),
    ],
)
def test_a_table_with_contradictions_is_refused(table: str, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        load_table(table)


def test_a_declaration_adds_a_channel_and_spellings() -> None:
    table = extended(
        TABLE,
        [NewChannel("Radio", ChannelType.VOICE, ("라디오",)), NewChannel("instagram", None, ("인스타그램",))],
    )
    assert table.named("라디오") == Channel("radio", "Radio", ChannelType.VOICE)
    assert table.named("인스타그램") == TABLE.named("Instagram")
    assert len(table.known) == 7
    assert len(TABLE.known) == 6


def test_people_see_a_channel_under_its_title_in_both_languages() -> None:
    assert TABLE.title("NaverBlog") == Bilingual("네이버 블로그", "Naver Blog")
    assert all(each.name in TABLE.titles for each in TABLE.known)
    assert TABLE.title("Radio") == Bilingual("Radio", "Radio")
    titled = Bilingual("라디오", "Radio One")
    table = extended(TABLE, [NewChannel("Radio", ChannelType.VOICE, (), titled), NewChannel("naver", None, (), titled)])
    assert table.title("Radio") == table.title("NaverBlog") == titled
    assert extended(TABLE, [NewChannel("NaverBlog", None, ())]).title("NaverBlog") == TABLE.title("NaverBlog")


@pytest.mark.parametrize(
    ("added", "problem"),
    [
        (NewChannel("Radio", None, ()), "Radio is not known, so its declaration must have a type"),
        (NewChannel("Instagram", ChannelType.TV, ()), "Instagram is TV by its declaration, and SNS in the table"),
        (NewChannel("Radio", ChannelType.VOICE, ("NAVER",)), "'NAVER' is a spelling of both NaverBlog and Radio"),
        (NewChannel("Ra,dio", ChannelType.VOICE, ()), "'Ra,dio' is empty, is too long or has a comma"),
        (NewChannel(" _ ", ChannelType.VOICE, ()), "is empty, is too long or has a comma"),
        (NewChannel("Radio", ChannelType.VOICE, (), Bilingual("라디오", "\u200b")), r"the title of Radio is '\\u200b'"),
    ],
)
def test_a_channel_that_does_not_fit_the_table_is_refused(added: NewChannel, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        extended(TABLE, [added])
