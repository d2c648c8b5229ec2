"""Every view as a file: the figures of the JSON in every cell, safe to open, and no leftovers on disk."""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

import httpx2
import pytest
import sheets
from served import Site, in_days
from sheets import Workbook
from small_disks import small_disk
from typer.testing import CliRunner
from world import OWNER, SPRING, World

from hannun.cli.application import app
from hannun.cli.terminal import Progress
from hannun.errors import OperatorError
from hannun.files.layout_version import layout_version
from hannun.web.static_files import FOLDER, StaticFiles

MINE = f"/api/v1/users/{OWNER}/analytics"
ONE = f"/api/v1/events/{SPRING}/analytics"
OTHER = "5b0c2f64-0000-4000-8000-000000000002"
RANGE = "tz=America/New_York&startDate=2026-10-31&endDate=2026-11-23"
LISTS = {  # by view: the JSON field of its list, and the table of that list
    "": ("channelPerformance", "channels"),
    "/channels": ("channels", "channels"),
    "/timeline": ("dataPoints", "points"),
    "/roi": ("channels", "channels"),
}
LIST_FIELDS = {field for field, _ in LISTS.values()} | {"events"}
VIEWS = [(base, view) for base in (ONE, MINE) for view in LISTS]
SHEETS = {
    "ko": {"channels": "채널", "points": "타임라인", "events": "이벤트", "figures": "지표", "about": "설명"},
    "en": {"channels": "Channels", "points": "Timeline", "events": "Events", "figures": "Figures", "about": "About"},
}


@pytest.fixture(autouse=True)
def export_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of exports, which every test leaves empty."""
    folder = tmp_path / "exports"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert list(folder.iterdir()) == []


def two_events(world: World) -> None:
    """Two events with participants, money, a loss, and channels with and without measurements."""
    world.count(
        world.created(
            eventTitle="봄맞이 대축제", totalInvestment="100000.50", expectedRevenue=20_000, targetRoi=30, endDate=LATE
        ),
        world.created(OTHER, eventTitle="여름", totalInvestment=0, expectedRevenue=0, targetRoi=0),
        world.distributed(channelName="NAVER", channelType="SNS", distributionCost="777.77", expectedViews=500),
        world.distributed(channelName="RingoBiz", channelType="VOICE", distributionCost=0, status="FAILED"),
        world.sold("30000.25"),
        *[
            world.registered(
                f"p{i}", at=f"2026-11-{1 + i % 20:02}T0{i % 10}:30:00Z", **{"channel": "NAVER"} if i % 3 else {}
            )
            for i in range(60)
        ],
        world.registered("q", OTHER),
    )
    world.record_measurement(
        SPRING, "NaverBlog", "2026-11-03 05:00", {"impressions": 300, "views": 100, "clicks": 7, "likes": 2}
    )


TIMELINE_PARAMETERS = "&granularity=daily&metrics=participants,conversions"
LATE = "2026-12-03T00:00:00+09:00"


def flat(answer: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of what the JSON holds outside its lists of entries."""
    for name, value in answer.items():
        if isinstance(value, dict) and name != "provenance":
            yield from flat(value, f"{prefix}{name}.")
        elif name in ("provenance", "nextCursor") or (name in LIST_FIELDS and isinstance(value, list)):
            continue
        elif value is not None or name not in ("previous", "delta", "projection"):  # optional parts
            yield prefix + name, value


def entries(site: Site, address: str, field: str) -> list[dict[str, Any]]:
    """The entries of an answer's list, over all pages, each with its figures on one level."""
    found, cursor = [], ""
    while True:
        page = site.owner.get(f"{address}{cursor}").json()
        found += [
            {path.rpartition(".")[2]: value for path, value in flat(entry, " ") if "channelTitle" not in path}
            for entry in page[field]
        ]
        if not page.get("nextCursor"):
            return [{name.strip(): value for name, value in entry.items()} for entry in found]
        cursor = f"&cursor={page['nextCursor']}"


MEASURED = {
    *("impressions", "views", "clicks", "conversions", "likes", "comments", "shares", "totalCalls", "completedCalls"),
}
"""What channels measure. Where a channel has not reported it, a 0 is not a figure: the page shows "–" then."""


def rows_of_files(answer: dict[str, Any], field: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that a table must have: those of the JSON, without what is not known, and adding up to the total."""
    found = []
    for row in rows:
        if "state" in row:
            row = dict(row)
            reported = set(row.pop("measuredCounts"))
            unknown = MEASURED - reported
            if reported.isdisjoint({"likes", "comments", "shares", "clicks"}):
                unknown |= {"engagement"}
        else:
            totals = "totals" if field == "dataPoints" else field
            unknown = {key for key in row if row[key] == 0 and kind_of(answer, f"{totals}.{key}") == "unknown"}
            unknown |= {"totalViews"} if row.get("totalViewsKind") == "unknown" else set()
        found.append({key: None if key in unknown and value == 0 else value for key, value in row.items()})
    unattributed = answer.get("summary", answer).get("unattributedParticipants")
    if unattributed and "channelName" in (rows or [{}])[0]:
        found.append(dict.fromkeys(found[0]) | {"channelName": UNATTRIBUTED, "participants": unattributed})
    return found


def kind_of(answer: dict[str, Any], path: str) -> str | None:
    """The kind of a figure: its own, or that of the nearest part above it."""
    while path and path not in answer["provenance"]:
        path = path.rpartition(".")[0]
    return answer["provenance"][path]["kind"] if path else None


def known(answer: dict[str, Any], path: str, value: Any) -> Any:
    """The figure, or None for a count of 0 of which nothing is known."""
    is_count = not re.search("Rate|cost|Roi|Share", path)
    return None if value == 0 and is_count and kind_of(answer, path) == "unknown" else value


UNATTRIBUTED = "?"
WORDS = {  # by code: in Korean and English, as on the page
    "ko": {
        "measured": "측정됨", "stale": "멈춤", "planned": "계획만", "failed": "실패", "unknown": "확인 안 됨",
        "TV": "TV", "SNS": "SNS", "VOICE": "전화(ARS)", "ACTIVE": "진행 중", "ENDED": "종료", "ARCHIVED": "보관됨",
        UNATTRIBUTED: "채널 미확인", "up": "증가", "down": "감소", "flat": "비슷함", "early": "판단하기 이름",
        "daily": "하루", "hourly": "1시간", "mean-of-last-weeks": "최근 몇 주의 하루 평균",
        "several-events": "이벤트마다 끝나는 때가 다름", "nothing-invested": "투자금이 없음", "over": "이미 끝남",
        "yes": "예", "no": "아니요", "NaverBlog": "네이버 블로그", "RingoBiz": "링고비즈",
    },
    "en": {
        "stale": "stopped", "planned": "planned only",
        "VOICE": "Voice", "ACTIVE": "active", "ENDED": "ended", "ARCHIVED": "archived",
        UNATTRIBUTED: "Channel unknown", "early": "too early to say", "daily": "day", "hourly": "hour",
        "mean-of-last-weeks": "mean day of the last weeks", "several-events": "the events end at different times",
        "nothing-invested": "nothing is invested", "over": "it is over", "NaverBlog": "Naver Blog",
    },
}  # fmt: skip
KIND_WORDS = {
    "ko": {
        "measured": "측정값", "planned": "계획값", "estimated": "추정값", "stale": "지난 값", "unknown": "확인 안 됨",
    },
    "en": {"planned": "planned", "stale": "stale"},
}  # fmt: skip
UNIT_WORDS = {"ko": {"count": "수", "percent": "%", "KRW": "원", "number": "숫자"}, "en": {"percent": "%"}}


def is_instant(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d.*([+-]\d\d:\d\d|Z)", value) is not None


def same_text(cell: str, value: Any, zone: ZoneInfo, words: dict[str, str]) -> bool:
    """Whether a cell of CSV has the value of the JSON: codes as words, instants in the zone."""
    if value is None or isinstance(value, bool):
        return cell == {None: "", True: "TRUE", False: "FALSE"}[value]
    if isinstance(value, list):
        return cell == " ".join(map(str, value))
    if is_instant(value):
        there = datetime.fromisoformat(value).astimezone(zone)
        return datetime.fromisoformat(cell) == there and datetime.fromisoformat(cell).utcoffset() == there.utcoffset()
    return cell == words.get(value, value) if isinstance(value, str) else Decimal(cell) == Decimal(repr(value))


def same_cell(cell: Any, value: Any, zone: ZoneInfo, words: dict[str, str]) -> bool:
    """Whether a cell of a workbook has the value of the JSON."""
    if isinstance(cell, datetime):
        expected = datetime.fromisoformat(value).astimezone(zone).replace(tzinfo=None)
        return abs(cell - expected) < timedelta(milliseconds=2)
    if isinstance(value, list):
        return cell == " ".join(map(str, value))
    shown = words.get(value, value) if isinstance(value, str) else value
    return cell == shown and isinstance(cell, bool) == isinstance(value, bool)


def same_value(cell: Any, value: Any) -> bool:
    """Whether a value of Parquet is that of the JSON."""
    if isinstance(cell, datetime):
        return cell == datetime.fromisoformat(value)
    if isinstance(cell, Decimal):
        return cell == Decimal(repr(value))
    if value == UNATTRIBUTED:
        return cell is None
    return bool(cell == value) and isinstance(cell, bool) == isinstance(value, bool)


@pytest.mark.parametrize("language", ["ko", "en"])
@pytest.mark.parametrize("question", ["", RANGE])
def test_every_view_in_every_format_has_the_figures_of_the_json(
    world: World, site: Site, question: str, language: str
) -> None:
    two_events(world)
    zone = ZoneInfo("America/New_York" if question else "Asia/Seoul")
    words, lang = WORDS[language], f"&lang={language}"
    for base, view in VIEWS:
        field, table = ("events", "events") if (base, view) == (MINE, "") else LISTS[view]
        parameters = {"/roi": "&includeProjection=true", "/timeline": TIMELINE_PARAMETERS if question else ""}
        address = f"{base}{view}?{question}{parameters.get(view, '')}"
        answer = site.owner.get(address).json()
        rows = rows_of_files(answer, field, entries(site, address, field))
        figures = {
            path: {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
            for path, value in flat(answer)
        }
        assert rows and figures
        if table == "channels":  # the table adds up
            total = answer.get("summary", answer)["totalParticipants"]
            assert sum(row["participants"] for row in rows) == total

        file = site.owner.get(f"{address}&format=parquet&table={table}")
        of_parquet = sheets.parquet(file.content).read()
        keys = of_parquet.column_names
        assert of_parquet.num_rows == len(rows) == int(file.headers["x-row-count"])
        for values, row in zip(of_parquet.to_pylist(), rows, strict=True):
            assert values.keys() == row.keys()
            assert all(same_value(values[key], row[key]) for key in row), (values, row)

        titles, *of_csv = sheets.csv_rows(site.owner.get(f"{address}&format=csv&table={table}{lang}").content)
        assert len(titles) == len(keys) and len(of_csv) == len(rows)
        for cells, row in zip(of_csv, rows, strict=True):
            by_key = dict(zip(keys, cells, strict=True))
            own_words = {**words, **KIND_WORDS[language]} if "currentRoiKind" in keys else words
            assert all(same_text(by_key[key], row[key], zone, own_words) for key in keys), (cells, row)

        book = Workbook(site.owner.get(f"{address}&format=xlsx{lang}").content)
        sheet, figures_sheet, about_sheet = (SHEETS[language][name] for name in (table, "figures", "about"))
        assert set(book.sheets) == {sheet, figures_sheet, about_sheet}
        head, *of_book = book.rows(sheet)
        assert head[: len(titles)] == titles
        for cells, row in zip(of_book, rows, strict=True):
            by_key = dict(zip(keys, cells, strict=False))
            assert all(same_cell(by_key[key], row[key], zone, own_words) for key in keys), (cells, row)

        of_table = sheets.parquet(site.owner.get(f"{address}&format=parquet&table=figures{lang}").content).read()
        lines = of_table.to_pylist()
        assert {line["figure"] for line in lines} == set(figures)
        heads, *in_csv = sheets.csv_rows(site.owner.get(f"{address}&format=csv&table=figures{lang}").content)
        in_book = book.rows(figures_sheet)[1:]
        assert len(heads) == 6 and len({line[0] for line in in_csv}) == len(in_csv) == len(lines)
        for line, cells, shown in zip(lines, in_csv, in_book, strict=True):
            path = line["figure"]
            value = known(answer, path, figures[path])
            kind, unit = kind_of(answer, path), line["unit"]
            assert cells[0] == shown[0] == line["name"]
            assert (line["kind"] == kind and cells[4] == shown[4]) or not kind
            assert cells[4] == KIND_WORDS[language].get(kind or "", kind or "")
            assert cells[3] == UNIT_WORDS[language].get(unit or "", unit or "")
            if isinstance(value, list):
                assert cells[2] == shown[2] == (" · ".join(map(str, value)) or cells[2])
            elif isinstance(value, str):
                is_code = value not in ("yes", "no")
                assert line["text"] == (value if is_code else words.get(value, value))
                assert same_text(cells[2], value, zone, words) and same_cell(shown[2], value, zone, words), path
            else:
                assert line["value"] == value and shown[1] == value and same_text(cells[1], value, zone, words), path


def test_no_path_and_no_code_of_the_api_is_in_a_korean_file(world: World, site: Site) -> None:
    two_events(world)
    codes = "measured|planned|estimated|stale|unknown|failed|ACTIVE|ENDED|VOICE|early|flat|up|down|daily|hourly|percent"
    english = re.compile(rf"[a-z]+[A-Z][a-z]|[a-z]+\.[a-z]|\b({codes}|count|KRW|yes|no|metrics|granularity)\b")
    extra = {
        "/channels": "&sortBy=costPerView&sortOrder=asc&channels=NAVER,RingoBiz",
        "/roi": "&includeProjection=true",
    }
    extra["/timeline"] = "&metrics=participants,views&granularity=weekly&weekStart=sunday"
    of_users = {"봄맞이 대축제", "여름", "NaverBlog", "RingoBiz", "NAVER,RingoBiz", "Asia/Seoul", SPRING, OTHER, OWNER}
    for base, view in VIEWS:
        for table in ("", "&table=figures"):
            address = f"{base}{view}?lang=ko{extra.get(view, '')}"
            of_csv = sheets.csv_rows(site.owner.get(f"{address}&format=csv{table}").content)
            book = Workbook(site.owner.get(f"{address}&format=xlsx").content)
            cells = {cell for row in of_csv for cell in row}
            cells |= {
                cell for sheet in book.sheets for row in book.rows(sheet) for cell in row if isinstance(cell, str)
            }
            assert [cell for cell in cells - of_users if english.search(cell)] == [], address


def test_an_unknown_figure_is_an_empty_cell_and_a_loss_is_a_number(world: World, site: Site) -> None:
    world.count(world.created(totalInvestment=50_000, expectedRevenue=20_000))
    in_csv = {row[0]: row for row in sheets.csv_rows(site.owner.get(f"{ONE}?format=csv").content)}
    assert in_csv["Click-through rate"][1:3] == in_csv["Views"][1:3] == ["", ""]
    assert b'"Current ROI",-60,' in site.owner.get(f"{ONE}?format=csv").content
    assert in_csv["Current ROI"][3:5] == ["%", "estimated"]
    book = Workbook(site.owner.get(f"{ONE}?format=xlsx").content)
    in_book = {row[0]: row for row in book.rows("Figures")}
    assert in_book["Click-through rate"][1] is in_book["Views"][1] is None and in_book["Current ROI"][1] == -60
    parquet = sheets.parquet(site.owner.get(f"{ONE}?format=parquet").content).read().to_pylist()
    values = {row["figure"]: row["value"] for row in parquet}
    assert values["summary.clickThroughRate"] is values["summary.totalViews"] is None


def test_a_workbook_shows_won_without_decimals_and_percent_with_two(world: World, site: Site) -> None:
    two_events(world)
    for view, sheet in (("", "Figures"), ("", "Channels"), ("/channels", "Channels")):
        book = Workbook(site.owner.get(f"{ONE}{view}?format=xlsx").content)
        titles, *rows = book.rows(sheet)
        shown = {"KRW": set[str | None](), "%": set[str | None]()}
        for at, row in enumerate(rows, 1):
            for title, value, form in zip(titles, row, book.formats(sheet, at), strict=False):
                unit = row[titles.index("Unit")] if title == "Value" else str(title).rpartition("(")[2].rstrip(")")
                if value is not None and unit in shown:
                    shown[unit].add(form)
        assert shown["KRW"] == {"#,##0"} and shown["%"] <= {'0.00"%"'}, sheet


@pytest.mark.parametrize(
    ("language", "sheet", "name", "below"),
    [("ko", "지표", "조회당 비용", "1원 미만"), ("en", "Figures", "Cost per view", "under 1")],
)
def test_a_workbook_never_shows_some_money_as_0_won(
    world: World, site: Site, language: str, sheet: str, name: str, below: str
) -> None:
    world.count(world.created(), world.distributed(channelName="NAVER", distributionCost=3_000))
    world.record_measurement(SPRING, "NaverBlog", "2026-11-03 05:00", {"views": 12_000})
    book = Workbook(site.owner.get(f"{ONE}?format=xlsx&lang={language}").content)
    rows = book.rows(sheet)
    at = next(at for at, row in enumerate(rows) if row[0] == name)
    assert rows[at][1] == 0.25
    assert book.formats(sheet, at)[1] == f'"{below}"'


def test_an_instant_in_a_file_is_in_the_zone_that_its_title_names(world: World, site: Site) -> None:
    two_events(world)
    titles, first, *_ = sheets.csv_rows(site.owner.get(f"{MINE}?format=csv&lang=en&tz=Asia/Kathmandu").content)
    instants = {title: cell for title, cell in zip(titles, first, strict=True) if title.endswith("(Asia/Kathmandu)")}
    assert len(instants) >= 3
    assert {cell[-6:] for cell in instants.values() if cell} == {"+05:45"}


DANGEROUS = [
    "=1+1",
    '=HYPERLINK("http://evil","x")',
    "+82 10 1234",
    "-2+3",
    "@SUM(A1)",
    "\t=1+1",
    "  =1+1",
    "＝1+1",
    "＠SUM(A1)",
    "'=1+1",
    "a;=1+1",
    'a",=1+1',
    "a\r\n=1+1",
    "\u200b=1+1",
    "−5",
    "007",
    "００７",
    "1E5",
    "3-4",
    "2026-03-01",
    "3월 1일",
    "2026년 3월",
    "오후 3:30",
    "MARCH1",
    "TRUE",
    "50%",
    "₩1,000",
    "#N/A",
    "#ref!",
    "＃ＤＩＶ／０！",
    " #NAME?",
    "#NV",
    "#¡VALOR!",
    "#GETTING_DATA",
    '봄맞이, "대"축제',
]
HARMLESS = [
    "#이벤트",
    "#이벤트!",
    "#SALE",
    "#N/A 행사",
    "봄맞이 100% 행사",
    "5일의 행복",
    "a;=1+1",
    'a",=1+1',
    '봄맞이, "대"축제',
    "Marching band 5",
    "a\r\n=1+1",
]


def test_no_title_and_no_channel_name_becomes_a_formula_a_number_or_a_date(world: World, site: Site) -> None:
    events = {f"5b0c2f64-0000-4000-8000-{n:012}": title for n, title in enumerate([*DANGEROUS, *HARMLESS])}
    site.send(
        *[
            world.created(event, eventTitle=title, at=f"2026-11-01T09:00:{int(event[-12:]):02}+09:00")
            for event, title in events.items()
        ]
    )
    titles = {event: site.owner.get(f"/api/v1/events/{event}/analytics").json()["eventTitle"] for event in events}
    body = site.owner.get(f"{MINE}?format=csv").content
    raw = {row[0]: row[1] for row in _raw(body)[1:]}
    for event, title in titles.items():
        starts = title.strip("\u200b \t")[:1]
        assert starts not in ("=", "+", "-", "@", "＝", "＠", "−") or raw[event][0] == "'", title
        assert raw[event].removeprefix("'") == title
        assert (raw[event] == title) == (title in HARMLESS), f"{title!r} is guarded without need, or not guarded"

    book = Workbook(site.owner.get(f"{MINE}?format=xlsx").content)  # Workbook fails on a formula
    shown = {row[0]: row[1] for row in book.rows("Events")[1:]}
    assert shown == titles
    assert "hyperlink" not in book.xml("Events")
    assert {form for _, form, *_ in [book.formats("Events", at) for at in range(1, 4)]} == {"@"}, (
        "a text must stay a text when it is edited"
    )

    world.count(world.distributed(channelName="=cmd|' /C calc'!A1", channelType="SNS"))
    channels = site.owner.get(f"{ONE}/channels?format=csv").content
    assert [row[0][:5] for row in _raw(channels)[1:]] == ["'=cmd"]


def _raw(body: bytes) -> list[list[str]]:
    import csv
    import io

    return list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""), strict=True))


LONG_TITLES = [
    "가" * 200,
    "🎉" * 100,
    "👍🏽" * 100,
    "e\u0301\u0323x" * 50,
    "\u1100\u1161\u11ab" * 60,
    "가" * 66 + ".",
    "x" * 200,
]


@pytest.mark.parametrize("title", LONG_TITLES)
def test_a_long_title_gives_a_file_name_that_every_file_system_takes(
    world: World, site: Site, title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.count(world.created(eventTitle=title))
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for view, form in (("dashboard", "csv"), ("timeline", "xlsx")):
        words = ["export", view, SPRING, "--format", form]
        done = CliRunner().invoke(app, words, env={"DATABASE_URL": world.url})
        assert done.exit_code == 0, done.output
        (file,) = here.iterdir()
        path = "" if view == "dashboard" else f"/{view}"
        answer = site.owner.get(f"{ONE}{path}?format={form}&lang=ko")
        assert unquote(answer.headers["content-disposition"].partition("UTF-8''")[2]) == file.name
        kept = file.name.rsplit(" ", 2)[0]
        whole = unicodedata.normalize("NFC", title)
        assert whole.startswith(kept) and len(file.name.encode()) <= 200
        assert len(kept.encode()) >= 50
        assert unicodedata.category(whole[len(kept)])[0] != "M" and whole[len(kept)] not in "\U0001f3fd\u1161\u11ab"
        file.unlink()


def test_a_file_that_cannot_be_written_is_said_in_one_sentence(world: World, tmp_path: Path) -> None:
    world.count(world.created())
    here = tmp_path / "here"
    here.mkdir()
    for out in (here / ("가" * 100), here / "no" / "folder", here, Path("/"), Path("/proc/none")):
        words = ["export", "roi", SPRING, "--out", str(out)]
        with pytest.raises(OperatorError, match="cannot write"):
            CliRunner().invoke(app, words, env={"DATABASE_URL": world.url}, catch_exceptions=False)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("tz", ["Pacific/Kiritimati", "Etc/GMT+12"])  # one of them always has another date than UTC
def test_a_file_name_has_the_date_in_the_zone_of_the_question(world: World, site: Site, tz: str) -> None:
    two_events(world)
    changed = datetime.fromisoformat(site.owner.get(f"{ONE}/roi", params={"tz": tz}).json()["lastUpdatedAt"])
    disposition = site.owner.get(f"{ONE}/roi", params={"tz": tz, "format": "csv"}).headers["content-disposition"]
    assert unquote(disposition).endswith(f" {changed.astimezone(ZoneInfo(tz)):%Y-%m-%d}.csv")


def test_a_file_has_a_name_a_language_a_zone_and_an_explanation(world: World, site: Site) -> None:
    two_events(world)
    answer = site.owner.get(f"{ONE}/timeline?format=xlsx&tz=Asia/Kathmandu", headers={"Accept-Language": "ko-KR"})
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith('attachment; filename="hannun-timeline.xlsx"; ')
    assert re.fullmatch(r"봄맞이 대축제 타임라인 \d{4}-\d\d-\d\d\.xlsx", unquote(disposition.partition("UTF-8''")[2]))
    assert disposition.isascii()
    assert answer.headers["content-language"] == "ko"
    assert int(answer.headers["content-length"]) == len(answer.content)
    book = Workbook(answer.content)
    assert book.rows("타임라인")[0][0] == "구간 시작 (Asia/Kathmandu)"
    assert book.rows("타임라인")[1][-1] == "+05:45"
    assert 'ySplit="1"' in book.xml("타임라인") and 'state="frozen"' in book.xml("타임라인")
    assert "<cols>" in book.xml("타임라인")
    about = {row[0]: row for row in reversed(book.rows("설명")) if row[0]}
    assert about["이벤트명"][1] == "봄맞이 대축제"
    assert about["시간대"][1] == "Asia/Kathmandu"
    changed = site.owner.get(f"{ONE}/timeline").json()["lastUpdatedAt"]
    shown = about["기준 시각 (이때까지의 변경 반영)"][1]
    assert shown.endswith("+05:45") and datetime.fromisoformat(shown) == datetime.fromisoformat(changed)
    assert about["타임라인: 참여자"][1] == "측정값"
    english = site.owner.get(f"{ONE}/timeline?format=csv&lang=en", headers={"Accept-Language": "ko-KR"})
    assert english.text.startswith('\ufeff"Bucket start (Asia/Seoul)","Complete"')
    assert english.headers["content-type"] == "text/csv; charset=utf-8"
    assert english.headers["x-row-count"] == str(len(sheets.csv_rows(english.content)) - 1)


def test_a_file_has_an_etag_and_is_not_sent_again(world: World, site: Site) -> None:
    two_events(world)
    json_tag = site.owner.get(ONE).headers["etag"]
    tags = {}
    for form in ("csv", "xlsx", "parquet"):
        first = site.owner.get(f"{ONE}?format={form}")
        tags[form] = first.headers["etag"]
        assert tags[form].startswith(json_tag[:-1]) and site.owner.get(f"{ONE}?format={form}").content == first.content
        again = site.owner.get(f"{ONE}?format={form}", headers={"If-None-Match": tags[form]})
        assert again.status_code == 304 and again.content == b""
    assert len({*tags.values(), json_tag, site.owner.get(f"{ONE}?format=csv&lang=ko").headers["etag"]}) == 5
    world.count(world.registered())

    def is_sent_again() -> bool:  # a local cache entry may be 100 ms old
        return site.owner.get(f"{ONE}?format=csv", headers={"If-None-Match": tags["csv"]}).status_code == 200

    world.wait_for("the changed file", is_sent_again)
    whole = site.owner.get(f"{MINE}?format=csv")
    assert site.owner.get(f"{MINE}?format=csv", headers={"If-None-Match": whole.headers["etag"]}).status_code == 304


def test_a_file_is_sent_again_after_its_layout_has_changed(
    world: World, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_events(world)
    for address in (f"{ONE}?format=csv", f"{MINE}?format=csv", f"{ONE}/timeline?format=xlsx"):
        tag = site.owner.get(address).headers["etag"]
        assert site.owner.get(address, headers={"If-None-Match": tag}).status_code == 304
        with monkeypatch.context() as upgrade:
            upgrade.setattr("hannun.flows.export.layout_version", lambda: "of the next release")
            assert site.owner.get(address, headers={"If-None-Match": tag}).status_code == 200


def test_any_other_code_that_lays_files_out_is_another_layout(tmp_path: Path) -> None:
    versions = set()
    for part, text in (("domain", ""), ("domain", "COLUMN = 1"), ("files", "COLUMN = 1"), ("files", "COLUMN = 2")):
        (tmp_path / part).mkdir(exist_ok=True)
        (tmp_path / part / "module.py").write_text(text)
        layout_version.cache_clear()
        versions.add(layout_version(tmp_path))
    assert len(versions) == 4
    (tmp_path / "files" / "module.pyc").write_bytes(b"compiled")
    layout_version.cache_clear()
    assert layout_version(tmp_path) in versions


@pytest.mark.parametrize("form", ["csv", "xlsx", "parquet"])
def test_a_file_needs_the_same_access_as_its_view(world: World, site: Site, form: str) -> None:
    two_events(world)
    for base, view in VIEWS:
        refused = site.other_merchant.get(f"{base}{view}?format={form}")
        assert refused.status_code == 404 and refused.headers["content-type"] == "application/problem+json"
        if base == ONE:
            assert site.other_merchant.get(f"{base}{view}?format={form}&table=nonsense").status_code == 404
        assert site.anonymous.get(f"{base}{view}?format={form}").status_code == 401
    link = site.owner.post(f"/api/v1/events/{SPRING}/shares", json={"until": in_days(7)}).json()
    secret = link["address"].partition("#share=")[2]
    guest = site.client({})
    assert guest.post(f"/api/v1/events/{SPRING}/session", json={"share": secret}).status_code < 300
    assert guest.get(f"{ONE}?format={form}").status_code == 200
    assert guest.get(f"/api/v1/events/{OTHER}/analytics?format={form}").status_code == 401
    assert guest.get(f"{MINE}?format={form}").status_code == 401


def test_an_impossible_file_is_refused_with_a_problem(world: World, site: Site) -> None:
    world.count(world.created())
    for address, code, field in (
        (f"{ONE}?format=docx", "bad-parameter", "format"),
        (f"{ONE}/timeline?format=pdf", "bad-parameter", "format"),
        (f"{ONE}?format=csv&table=points", "unknown-table", "table"),
        (f"{ONE}?format=xlsx&table=figures", "bad-parameter", "table"),
        (f"{ONE}?format=csv&lang=de", "bad-parameter", "lang"),
        (f"{MINE}?format=csv&limit=5", "bad-parameter", "limit"),
        (f"{MINE}?format=csv&cursor=abc", "bad-parameter", "cursor"),
        (f"{ONE}/timeline?format=csv&granularity=minute&startDate=2020-01-01", "too-many-points", None),
    ):
        problem = site.owner.get(address)
        assert (problem.status_code, problem.json()["code"]) == (400, code), address
        assert field is None or problem.json()["field"] == field


def test_without_pyarrow_the_problem_names_what_to_install(
    world: World, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.count(world.created())
    monkeypatch.setattr("hannun.files.parquet_file.find_spec", lambda name: None)
    problem = site.owner.get(f"{ONE}?format=parquet")
    assert (problem.status_code, problem.json()["code"]) == (501, "format-not-installed")
    assert "pip install 'hannun[parquet]'" in problem.json()["detail"]
    assert site.owner.get(f"{ONE}?format=csv").status_code == 200


def many_events(world: World, count: int) -> None:
    """Thousands of events of one merchant, inserted directly instead of counted."""
    world.count(world.created())
    world.rows(
        "INSERT INTO hannun.events OVERRIDING SYSTEM VALUE "
        "SELECT (jsonb_populate_record(e, jsonb_build_object('event_no', 1000000 + n, "
        "'event_id', 'e-' || n, 'title', '행사 ' || n, 'plan_at', e.plan_at + (n / 7) * interval '1 second'))).* "
        "FROM hannun.events e, generate_series(1, %s) n",
        count,
    )
    world.rows(
        "INSERT INTO public.event_stats OVERRIDING SYSTEM VALUE "
        "SELECT (jsonb_populate_record(s, jsonb_build_object('id', 1000000 + n, "
        "'event_id', 'e-' || n, 'event_title', '행사 ' || n))).* "
        "FROM public.event_stats s, generate_series(1, %s) n",
        count,
    )


def test_thousands_of_events_are_one_file_from_one_snapshot(world: World, site: Site) -> None:
    many_events(world, 1_500)
    with site.owner.stream("GET", f"{MINE}?format=csv") as answer:
        parts = answer.iter_bytes()
        body = next(parts)
        site.send(world.created(OTHER, eventTitle="나중"), world.registered("late", "e-1"))
        body += b"".join(parts)
    rows = sheets.csv_rows(body)[1:]
    assert len(rows) == 1_501 == int(answer.headers["x-row-count"])
    assert len({row[0] for row in rows}) == 1_501
    assert sum(int(row[5]) for row in rows) == 0, "a file is one snapshot"
    assert len(sheets.csv_rows(site.owner.get(f"{MINE}?format=csv").content)) == 1_503


def test_a_client_that_disconnects_leaves_no_file_and_no_connection_in_use(
    world: World, site: Site, export_folder: Path
) -> None:
    two_events(world)
    many_minutes = f"{ONE}/timeline?granularity=minute&startDate=2026-10-25&endDate=2026-11-28&format="
    where = urlsplit(site.address)
    with socket.create_connection((where.hostname, where.port)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        token = site.token(OWNER)
        connection.sendall(
            f"GET {many_minutes}csv HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        )
        assert connection.recv(1) == b"H"
        world.wait_for("the file to be created", lambda: list(export_folder.iterdir()))
        assert site.services.exports.open == 1
    world.wait_for("the export to end", lambda: site.services.exports.open == 0)
    assert list(export_folder.iterdir()) == []
    assert len(sheets.csv_rows(site.owner.get(f"{many_minutes}csv").content)) == 34 * 1_440 + 1
    assert site.services.reports._database._pool.get_stats()["requests_waiting"] == 0


@pytest.mark.small_disk
@pytest.mark.parametrize("form", ["csv", "xlsx", "parquet"])
@pytest.mark.parametrize("free_kb", [0, 100])
def test_with_a_full_disk_no_file_ends_as_if_it_were_complete(
    world: World, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, free_kb: int
) -> None:
    """The disk for temporary files is full before the file is created, or while it is written."""
    two_events(world)
    address = f"{ONE}/timeline?granularity=minute&startDate=2026-10-25&endDate=2026-11-28&format={form}"
    with small_disk(tmp_path / "small", 64) as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk.folder))
        disk.fill(leave_bytes=free_kb * 1_000)
        try:
            answer = site.owner.get(address, headers={"Accept-Language": "en"})
        except httpx2.RemoteProtocolError:
            assert form == "csv" and free_kb, "only a file that is sent while it grows has begun with 200 by then"
        else:
            assert answer.status_code == 503, (len(answer.content), answer.headers)
            assert answer.json()["code"] == "no-room-for-file" and answer.headers["retry-after"] == "60"
        world.wait_for("the export to end", lambda: site.services.exports.open == 0)
        assert site.owner.get(ONE).status_code == 200
        disk.make_room()
        assert site.owner.get(address).status_code == 200
        world.wait_for("the export to end", lambda: site.services.exports.open == 0)


def test_the_number_of_concurrent_exports_is_limited(world: World, site: Site) -> None:
    two_events(world)
    site.shrink_send_buffer()
    many_minutes = f"{ONE}/timeline?granularity=minute&startDate=2026-10-25&endDate=2026-11-28&format=csv"
    streams = [site.signed_in(OWNER).stream("GET", many_minutes) for _ in range(2)]
    with streams[0] as first, streams[1] as second:
        assert (first.status_code, second.status_code) == (200, 200)
        third = site.owner.get(f"{ONE}?format=csv")
        assert third.status_code == 429 and int(third.headers["retry-after"]) >= 1
        assert site.owner.get(ONE).status_code == 200
    world.wait_for("the exports to end", lambda: site.services.exports.open == 0)
    assert site.owner.get(f"{ONE}?format=csv").status_code == 200


def test_every_figure_of_every_view_has_a_name_in_both_languages(world: World, site: Site) -> None:
    two_events(world)
    for base, view in VIEWS:
        address = f"{base}{view}?{RANGE}" + ("&includeProjection=true" if view == "/roi" else "")
        for language in ("ko", "en"):
            file = site.owner.get(f"{address}&format=parquet&table=figures&lang={language}")
            for row in sheets.parquet(file.content).read().to_pylist():
                assert row["name"] != row["figure"], f"{row['figure']} has no name"
        assert json.loads(site.owner.get(address).content)["provenance"]


@pytest.mark.faults
def test_the_command_writes_the_bytes_of_the_api_and_never_a_partial_file(
    world: World, site: Site, tmp_path: Path
) -> None:
    two_events(world)
    here = tmp_path / "here"
    here.mkdir()

    def export(*words: str, url: str = world.url) -> subprocess.CompletedProcess[bytes]:
        environment = {**os.environ, "DATABASE_URL": url}
        command = [sys.executable, "-m", "hannun", "export", *words]
        return subprocess.run(command, cwd=here, env=environment, capture_output=True, timeout=60, check=False)

    done = export("timeline", SPRING, "--granularity", "daily", "--start", "2026-11-01", "--end", "2026-11-05")
    assert done.returncode == 0, done.stderr
    (file,) = here.iterdir()
    assert re.fullmatch(r"봄맞이 대축제 타임라인 \d{4}-\d\d-\d\d\.csv", file.name)
    question = "granularity=daily&startDate=2026-11-01&endDate=2026-11-05&format=csv&lang=ko"
    assert file.read_bytes() == site.owner.get(f"{ONE}/timeline?{question}").content
    piped = export("all-dashboard", OWNER, "--out", "-", "--lang", "en")
    assert piped.stdout == site.owner.get(f"{MINE}?format=csv&lang=en").content
    missing = export("roi", "nowhere", "--out", "roi.csv")
    assert missing.returncode == 2 and list(here.iterdir()) == [file]


@pytest.mark.parametrize(
    ("words", "address"),
    [
        (("channels", SPRING, "--channels", "naver,우리동네TV"), f"{ONE}/channels?channels=naver,우리동네TV"),
        (("all-channels", OWNER, "--channels", "NAVER"), f"{MINE}/channels?channels=NAVER"),
        (("all-dashboard", OWNER, "--status", "ARCHIVED"), f"{MINE}?status=ARCHIVED"),
        (
            ("all-dashboard", OWNER, "--channels", "RingoBiz", "--status", "ARCHIVED"),
            f"{MINE}?channels=RingoBiz&status=ARCHIVED",
        ),
        (
            ("all-timeline", OWNER, "--text", "대축", "--granularity", "daily"),
            f"{MINE}/timeline?q=대축&granularity=daily",
        ),
        (
            ("timeline", SPRING, "--granularity", "weekly", "--week-start", "sunday"),
            f"{ONE}/timeline?granularity=weekly&weekStart=sunday",
        ),
        (
            ("all-roi", OWNER, "--channels", "WooriTV", "--status", "ACTIVE"),
            f"{MINE}/roi?channels=WooriTV&status=ACTIVE",
        ),
    ],
)
def test_the_command_filters_as_the_api_does(world: World, site: Site, words: tuple[str, ...], address: str) -> None:
    two_events(world)
    world.count(
        world.status_changed("ARCHIVED", "2026-11-21T00:00:00Z", OTHER), world.registered("o", OTHER, channel="NAVER")
    )
    done = CliRunner().invoke(app, ["export", *words, "--out", "-"], env={"DATABASE_URL": world.url})
    assert done.exit_code == 0, done
    assert done.stdout_bytes == site.owner.get(f"{address}&format=csv&lang=ko").content


def test_a_filter_that_a_view_does_not_have_is_refused(world: World) -> None:
    for words, message in (
        (("dashboard", SPRING, "--channels", "NAVER"), "dashboard has no --channels"),
        (("roi", SPRING, "--status", "ACTIVE"), "roi has no --status"),
        (("timeline", SPRING, "--text", "봄"), "timeline has no --text"),
        (("all-roi", OWNER, "--granularity", "daily"), "all-roi has no --granularity"),
        (("roi", SPRING, "--week-start", "sunday"), "roi has no --week-start"),
        (("timeline", SPRING, "--week-start", "friday"), "--week-start friday is not known"),
        (("all-roi", OWNER, "--status", "OVER"), "--status OVER is not known"),
        (("all-roi", OWNER, "--text", ""), "--text has 0 characters"),
        (("roi", SPRING, "--lang", "de"), "--lang de is not known"),
    ):
        done = CliRunner().invoke(app, ["export", *words, "--out", "-"], env={"DATABASE_URL": world.url})
        assert isinstance(done.exception, OperatorError), words
        assert message in str(done.exception)


@pytest.mark.parametrize(
    ("words", "found", "hint"),
    [
        (("dashboard", SPRING, "--start", "soon"), "--start is neither an ISO 8601 instant", "--start"),
        (("dashboard", SPRING, "--end", "1960-01-01"), "--end is before 1970", "--end"),
        (
            ("dashboard", SPRING, "--start", "2026-11-05", "--end", "2026-11-01"),
            "--start is not before --end",
            "--start",
        ),
        (("dashboard", SPRING, "--start", "2026-11-05T09:00"), "--start has no offset from UTC", "+09:00 or Z"),
        (("dashboard", SPRING, "--tz", "Seoul"), "no zone is named 'Seoul'", "Asia/Seoul"),
        (("timeline", SPRING, "--granularity", "minute", "--start", "2026-01-01"), "more than", "coarser granularity"),
        (("channels", SPRING, "--channels", "a,,b"), "--channels has an empty entry", "--channels"),
        (("channels", SPRING, "--channels", "nowhere"), "no channel is named 'nowhere'", "use the name of a channel"),
        (("dashboard", SPRING, "--table", "points"), "the view has no table points", "figures"),
        (("roi", "nowhere"), "no such event as nowhere", "hannun export all-dashboard"),
        (("all-dashboard", "nobody"), "no event belongs to the merchant nobody", "userId"),
        (("all-roi", "nobody"), "no event belongs to the merchant nobody", "userId"),
    ],
)
def test_an_error_of_the_command_names_its_options_and_the_next_step(
    world: World, tmp_path: Path, words: tuple[str, ...], found: str, hint: str
) -> None:
    two_events(world)
    out = tmp_path / "out.csv"
    done = CliRunner().invoke(app, ["export", *words, "--out", str(out)], env={"DATABASE_URL": world.url})
    assert isinstance(done.exception, OperatorError), done
    assert found in done.exception.args[0]
    assert hint in done.exception.hint
    assert not re.search("startDate|endDate|weekStart", str(done.exception))
    assert not out.exists()


def test_without_pyarrow_nothing_offers_parquet(monkeypatch: pytest.MonkeyPatch) -> None:
    page = StaticFiles(FOLDER).document("index.html").body
    assert b'<meta name="export-formats" content="xlsx csv parquet" />' in page
    monkeypatch.setattr("hannun.files.parquet_file.find_spec", lambda name: None)
    page = StaticFiles(FOLDER).document("index.html").body
    assert b'<meta name="export-formats" content="xlsx csv" />' in page
    wrong = CliRunner().invoke(app, ["export", "roi", SPRING, "--format", "pdf"])
    assert isinstance(wrong.exception, OperatorError)
    assert wrong.exception.hint == "one of csv, xlsx"
    missing = CliRunner().invoke(app, ["export", "roi", SPRING, "--format", "parquet"])
    assert isinstance(missing.exception, OperatorError)
    assert "pip install 'hannun[parquet]'" in missing.exception.hint


def test_without_a_terminal_progress_is_printed_at_intervals_and_at_the_end() -> None:
    seconds, said = iter([0.0, 1.0, 4.9, 5.0, 5.1, 9.9, 10.5, 10.6, 11.0]), list[str]()
    progress = Progress[str](said.append, now=lambda: next(seconds))
    with progress:
        for rows in ("a", "b", "c", "d", "e"):
            progress.update(rows)
        assert said == ["c", "e"]
        progress.update("f")
    assert said == ["c", "e", "f"]
