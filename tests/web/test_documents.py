"""The documents of an event: a report of one page as PDF, and a text to send."""

import hashlib
import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from pdf_pages import Pdf, read_pdf
from polling import wait_for
from served import Site, open_site
from world import SPRING, World

from hannun.domain import event_report
from hannun.domain.response_schemas import Dashboard, EventInsights, EventTimeline
from hannun.domain.summary_text import LENGTH_MAX
from hannun.files import pdf_file
from hannun.flows.event_documents import WAITING_MAX_PER_CALLER

ONE = f"/api/v1/events/{SPRING}/analytics"
TITLE = "봄맞이 대축제 🎉"
HOSTILE = '#panic("x") $x$ *b* `c` @d <e> #set page(width: 1pt) \\u{41} [] "' + "긴 제목 " * 30


def spring(world: World, title: str = TITLE) -> None:
    """An event with participants, money and channels, one of them measured."""
    world.count(
        world.created(
            eventTitle=title,
            totalInvestment=100_000,
            expectedRevenue=250_000,
            targetRoi=30,
            startDate="2026-11-01T00:00:00+09:00",
            endDate="2026-12-03T00:00:00+09:00",
        ),
        world.distributed(channelName="NAVER", distributionCost=3_000),
        world.distributed(channelName="RingoBiz", channelType="VOICE", distributionCost=7_000),
        *(world.registered(f"n{i}", channel="NAVER", at=f"2026-11-{1 + i % 20:02}T05:00:00Z") for i in range(40)),
        world.registered("x"),
        world.sold(60_000),
    )
    world.record_measurement(SPRING, "NaverBlog", "2026-11-03 05:00", {"views": 100, "clicks": 7, "conversions": 4})


def report(site: Site, parameters: str = "") -> Pdf:
    response = site.owner.get(f"{ONE}?format=pdf{parameters}")
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/pdf"
    return read_pdf(response.content)


def squeezed(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_report_is_one_page_with_the_figures_of_the_dashboard(world: World, language: str) -> None:
    spring(world)
    with open_site(world) as site:
        pdf = report(site, f"&lang={language}")
        answer = site.owner.get(ONE).json()
    assert pdf.pages == 1
    assert {"PretendardJP-Regular", "PretendardJP-Bold", "NotoEmoji-Regular"} >= pdf.fonts
    text = squeezed(pdf.text)
    names = {
        "ko": [
            "참여자",
            "조회수",
            "참여율",
            "전환",
            "참여자당 비용",
            "현재 ROI",
            "네이버 블로그",
            "링고비즈",
            "채널 미확인",
            "전체",
        ],
        "en": [
            "participants",
            "views",
            "Participation rate",
            "Cost per participant",
            "Current ROI",
            "Naver Blog",
            "RingoBiz",
        ],
    }
    figures = {
        "ko": ["41명", "100", "41%", "2,683원", "−45.45%", "목표 30%", "110,000원", "60,000원", "기록된 매출", "76명"],
        "en": ["41", "100", "41%", "₩2,683", "−45.45%", "target 30%", "₩110,000", "₩60,000", "recorded", "76"],
    }
    assert answer["roi"]["currentRoi"] == -45.45 and answer["roi"]["breakEvenParticipants"] == 76
    for part in (TITLE, *names[language], *figures[language]):
        assert squeezed(part) in text, part


@pytest.mark.parametrize("language", ["ko", "en"])
def test_a_screen_reader_can_read_the_report(world: World, language: str) -> None:
    spring(world)
    with open_site(world) as site:
        pdf = site.owner.get(f"{ONE}?format=pdf&lang={language}").content
    assert re.search(rb"/MarkInfo\s*<<[^>]*/Marked true", pdf) and b"/StructTreeRoot" in pdf
    assert f"/Lang ({language})".encode() in pdf or f"/Lang({language})".encode() in pdf
    assert b"<pdfuaid:part>1</pdfuaid:part>" in pdf and b"/DisplayDocTitle true" in pdf
    assert set(re.findall(rb"/S\s*/(H1|H2|Table|TH|Figure)\b", pdf)) == {b"H1", b"H2", b"Table", b"TH", b"Figure"}
    assert b"/Alt" in pdf  # the chart in words


MOMENT = "2026-12-02T03:00:00+00:00"


def test_the_same_answers_give_the_same_bytes_in_another_process(world: World) -> None:
    spring(world)
    with open_site(world) as site:
        site.set_now(MOMENT)
        bodies = [site.owner.get(f"{ONE}{view}").text for view in ("", "/timeline", "/insights")]
        pdf = site.owner.get(f"{ONE}?format=pdf&lang=ko").content
        assert site.owner.get(f"{ONE}?format=pdf&lang=ko&refresh=true").content == pdf
    program = (
        "import json, sys, msgspec; from hannun.domain import response_schemas as r;"
        "from hannun.flows.event_documents import render_report;"
        "types = r.Dashboard, r.EventTimeline, r.EventInsights;"
        "answers = [msgspec.json.decode(body, type=t) for body, t in zip(json.load(sys.stdin), types)];"
        "sys.stdout.buffer.write(render_report(*answers, 'ko'))"
    )
    made = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(bodies).encode(),
        capture_output=True,
        check=True,
        env={"TZ": "America/New_York", "LANG": "C", "PYTHONPATH": ":".join(sys.path)},
    )
    assert made.stdout == pdf


def test_of_an_event_that_is_over_only_the_advice_depends_on_the_clock(world: World) -> None:
    spring(world)
    world.count(world.status_changed("ENDED", at="2026-11-25T00:00:00+09:00"))
    with open_site(world) as site:
        contents = []
        for moment in ("2026-12-20T03:00:00+00:00", "2027-01-05T05:00:00+00:00"):
            site.set_now(moment)
            contents.append(event_report.report_content(*answers(site, refresh="true"), "ko") | {"advice": None})
    assert contents[0] == contents[1]
    assert sum(bar["value"] or 0 for bar in contents[0]["chart"]["bars"]) == 41


def answers(site: Site, **parameters: str) -> tuple[Dashboard, EventTimeline, EventInsights]:
    """What a report is made of."""
    bodies = [site.owner.get(f"{ONE}{view}", params=parameters).content for view in ("", "/timeline", "/insights")]
    return (
        msgspec.json.decode(bodies[0], type=Dashboard),
        msgspec.json.decode(bodies[1], type=EventTimeline),
        msgspec.json.decode(bodies[2], type=EventInsights),
    )


def test_the_report_says_what_the_page_says_on_what_to_do(world: World) -> None:
    spring(world)
    joined = {"ko": "이 기간에 20명이 참여했어요.", "en": "20 people joined in this period."}
    with open_site(world) as site:
        site.set_now(MOMENT)
        insights = site.owner.get(f"{ONE}/insights").json()
        for language in ("ko", "en"):
            text = squeezed(report(site, f"&lang={language}").text)
            assert squeezed(insights["headline"]["text"][language]) in text
            assert insights["advice"]
            for advice in insights["advice"]:
                assert squeezed(advice["text"][language]) in text
                assert squeezed(advice["why"][language]) in text
            of_ten_days = squeezed(report(site, f"&lang={language}&startDate=2026-11-01&endDate=2026-11-11").text)
            assert squeezed(joined[language]) in of_ten_days


def test_a_title_is_shown_as_it_is_and_never_read_as_code(world: World) -> None:
    spring(world, HOSTILE)
    with open_site(world) as site:
        pdf = report(site)
    assert pdf.pages == 1
    shown = squeezed(event_report.one_line(HOSTILE, event_report.TITLE_LENGTH_MAX))
    assert shown.startswith('#panic("x")$x$*b*`c`@d<e>#setpage(width:1pt)\\u{41}[]"')
    assert shown in squeezed(pdf.text)


def test_thirty_channels_with_long_names_fit_on_one_page(world: World) -> None:
    spring(world, HOSTILE)
    world.count(
        *(world.distributed(channelName=f"{'아주 긴 이름의 채널 ' * 3}{i:02}", channelType="SNS") for i in range(30)),
        *(world.registered(f"m{i}", channel=f"{'아주 긴 이름의 채널 ' * 3}{i:02}") for i in range(30)),
    )
    with open_site(world) as site:
        pdf = report(site, "&lang=ko")
        total = site.owner.get(ONE).json()["summary"]["totalParticipants"]
    assert pdf.pages == 1
    text = squeezed(pdf.text)
    assert "그밖의채널12개" in text  # 32 channels, of which 20 have a row
    assert f"{total}명" in text
    assert squeezed("기준 (Asia/Seoul)") in text  # the last line of the page


def test_an_event_without_anything_has_a_report_that_says_so(world: World) -> None:
    world.count(world.created(eventTitle="새 이벤트"))
    with open_site(world) as site:
        text = squeezed(report(site, "&lang=ko").text)
        message = site.owner.get(f"{ONE}?format=txt&lang=ko").text
    assert squeezed("아직 참여자가 없어요.") in text
    assert squeezed("이 기간에는 참여가 없어요") in text
    assert message.startswith("참여 0명\n[한눈] 새 이벤트\n현재 ROI – (")


@pytest.mark.parametrize(
    ("language", "lines"),
    [
        (
            "ko",
            [
                "참여 41명 (전주 대비 −100%)",
                f"[한눈] {TITLE}",
                "참여가 가장 많은 채널: 네이버 블로그 40명 · 1명당 75원",
                "현재 ROI −45.45% (목표 30%)",
            ],
        ),
        (
            "en",
            [
                "41 participants (−100% on the week before)",
                f"[Hannun] {TITLE}",
                "Most participants: Naver Blog, 40 · ₩75 each",
                "Current ROI −45.45% (target 30%)",
            ],
        ),
    ],
)
def test_the_text_says_what_matters_in_a_few_lines(world: World, language: str, lines: list[str]) -> None:
    spring(world)
    with open_site(world) as site:
        site.set_now(MOMENT)
        response = site.owner.get(f"{ONE}?format=txt", headers={"Accept-Language": language})
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["Content-Language"] == language
    *shown, as_of = response.text.split("\n")
    assert shown == lines
    assert as_of.endswith("기준") if language == "ko" else as_of.startswith("as of ")
    assert "http" not in response.text


def test_the_text_fits_a_message_whatever_the_title_is(world: World) -> None:
    spring(world, HOSTILE)
    with open_site(world) as site:
        for language in ("ko", "en"):
            text = site.owner.get(f"{ONE}?format=txt&lang={language}&startDate=2026-11-01&endDate=2026-11-20").text
            assert LENGTH_MAX - 2 <= len(text) <= LENGTH_MAX
            assert "…\n" in text and "ROI" in text


def test_a_document_is_named_cached_and_refused_like_a_file(world: World) -> None:
    spring(world)
    with open_site(world) as site:
        for form, name in (("pdf", "보고서"), ("txt", "요약")):
            response = site.owner.get(f"{ONE}?format={form}&lang=ko")
            day = response.headers["Content-Disposition"].rpartition("''")[2]
            assert unquote(day).startswith(f"봄맞이 대축제 🎉 {name} 20") and day.endswith(f".{form}")
            again = {"If-None-Match": response.headers["ETag"]}
            assert site.owner.get(f"{ONE}?format={form}&lang=ko", headers=again).status_code == 304
            assert site.owner.get(f"{ONE}?format={form}&lang=en", headers=again).status_code == 200
            refused = site.owner.get(f"{ONE}?format={form}&table=figures")
            assert (refused.status_code, refused.json()["code"]) == (400, "bad-parameter")
        for view in ("/channels", "/timeline", "/roi"):
            assert site.owner.get(f"{ONE}{view}?format=pdf").status_code == 400
        assert site.owner.get("/api/v1/events/none/analytics?format=pdf").status_code == 404
        assert site.anonymous.get(f"{ONE}?format=pdf").status_code == 401


def test_a_caller_has_a_limited_number_of_reports_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    spring(world)
    begun, may_end = threading.Semaphore(0), threading.Event()
    render = event_report.report_content

    def slow(*args: Any) -> Any:
        begun.release()
        assert may_end.wait(30)
        return render(*args)

    monkeypatch.setattr(event_report, "report_content", slow)
    with open_site(world) as site:
        got: list[int] = []
        asking = [
            threading.Thread(target=lambda: got.append(site.owner.get(f"{ONE}?format=pdf").status_code))
            for _ in range(WAITING_MAX_PER_CALLER)
        ]
        try:
            for thread in asking:
                thread.start()
            assert begun.acquire(timeout=30)
            wait_for("all requests", lambda: site.services.documents.waiting == WAITING_MAX_PER_CALLER)
            refused = site.owner.get(f"{ONE}?format=pdf")
            assert (refused.status_code, refused.json()["code"]) == (429, "too-many-requests")
            assert site.owner.get(ONE).status_code == 200  # the others are served meanwhile
        finally:
            may_end.set()
            for thread in asking:
                thread.join(30)
        assert got == [200] * WAITING_MAX_PER_CALLER
        assert site.owner.get(f"{ONE}?format=pdf").status_code == 200


def test_a_long_timeline_becomes_a_limited_number_of_bars(world: World) -> None:
    spring(world)
    with open_site(world) as site:
        url = f"{ONE}/timeline?granularity=hourly&startDate=2026-10-01&endDate=2026-11-30"
        timeline = msgspec.json.decode(site.owner.get(url).content, type=EventTimeline)
        dashboard, _, insights = answers(site)
    newest = msgspec.structs.replace(dashboard, last_updated_at="2026-12-01T00:00:00Z")
    content = event_report.report_content(newest, timeline, insights, "ko")
    bars = content["chart"]["bars"]
    assert len(timeline.data_points) == 1_440 and len(bars) == event_report.BARS_MAX
    assert sum(bar["value"] or 0 for bar in bars) == 41
    assert content["chart"]["top"] >= max(bar["value"] or 0 for bar in bars)


def test_the_fonts_are_those_of_their_list() -> None:
    """They are vendored: whoever replaces one also changes its row, with version and licence."""
    fonts = Path(pdf_file.__file__).parent / "fonts"
    listed = dict(re.findall(r"\| `([\w.-]+)` \|.*`([0-9a-f]{64})` \|", (fonts / "README.md").read_text("utf-8")))
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in fonts.glob("*.[ot]tf")}
    assert listed == found and len(found) == 3
    assert all((fonts / name).is_file() for name in ("LICENSE.pretendard-jp", "LICENSE.noto-emoji"))
