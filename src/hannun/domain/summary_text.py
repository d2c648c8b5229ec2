"""An event in a few lines, to send as a message.

KakaoTalk's text template takes at most 200 characters, and a chat folds a message from about 500 on. So the text has at
most 200, whatever the title and the names of channels are. It has no link: not everybody who reads it may open one.
"""

from hannun.domain import wording
from hannun.domain.event_report import Words, narrowed, one_line, participants_change, roi_note, roi_text, utc
from hannun.domain.response_schemas import Dashboard, EventInsights
from hannun.domain.terms import Language, term

LENGTH_MAX = 200


def summary_text(dashboard: Dashboard, insights: EventInsights, language: Language) -> str:
    """Participants with their change, the title, the channel with most of them, ROI, and as of when.

    A list of chats shows the beginning of a message: it is the answer.
    """
    w = Words(language, dashboard.period.tz)
    answer = _participants(dashboard, insights, w)
    rest = "\n".join(filter(None, [_best_channel(dashboard, w), _roi(dashboard, w), _as_of(dashboard, w)]))
    room = LENGTH_MAX - len(f"{answer}\n\n{rest}") - len(w("messageTitle", title=""))
    return f"{answer}\n{w('messageTitle', title=one_line(dashboard.event_title, room))}\n{rest}"


def _participants(dashboard: Dashboard, insights: EventInsights, w: Words) -> str:
    shown = w("messageParticipants", people=w.people(dashboard.summary.total_participants))
    change = participants_change(dashboard, insights, w)
    return shown if change is None else f"{shown} ({change[1]})"


def _best_channel(dashboard: Dashboard, w: Words) -> str | None:
    """The channel with the most participants; None where no channel has any."""
    best = max(dashboard.channel_performance, key=lambda each: each.participants, default=None)
    if best is None or not best.participants:
        return None
    shown = w("mostBy", name=narrowed(best.channel_title.text(w.language)), people=w.people(best.participants))
    cost = best.cost_per_participant
    return shown if cost is None else f"{shown} · {w('perPerson', cost=w.won(cost))}"


def _roi(dashboard: Dashboard, w: Words) -> str:
    return f"{term('currentRoi').name(w.language)} {roi_text(dashboard.roi, w)} ({roi_note(dashboard.roi, w)})"


def _as_of(dashboard: Dashboard, w: Words) -> str:
    newest = dashboard.last_updated_at
    if newest is None:
        return w("nothingYet")
    return w(
        "messageAsOf", when=f"{wording.day(utc(newest), w.tz, w.language)} {wording.time_of_day(utc(newest), w.tz)}"
    )
