"""The registry of views: for each view its question, loader, view function, cache key, answer schema and tables.

A new view is a question (`domain.questions`), a schema (`domain.response_schemas`), a loader (`*_loaders`), a view
function (`domain.views`) and an entry here. A route in `web.api` reads its question from the request. The cache, the
export, the command line and the OpenAPI document take the view from its entry. A view that is cached also needs a key
in `cache.keys`, where the invalidation of an event lists it.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, get_origin

from hannun.cache import keys
from hannun.domain import insights, response_schemas, views
from hannun.domain.answer import Topic
from hannun.domain.questions import (
    ChannelsQuestion,
    EventDashboardQuestion,
    EventSubject,
    Filters,
    InsightsQuestion,
    MerchantDashboardQuestion,
    MerchantSubject,
    Question,
    RoiQuestion,
    Subject,
    TimelineQuestion,
)
from hannun.domain.ranges import Range
from hannun.domain.tables import ViewTables
from hannun.flows.report import event_loaders, insight_loaders, merchant_loaders, timeline_loaders
from hannun.flows.report.snapshot import Loaded, Snapshot

Q = TypeVar("Q")
F = TypeVar("F")
S = TypeVar("S", bound=Subject)


@dataclass(frozen=True, slots=True)
class View(Generic[Q, F]):
    """One view.

    subject, question: the types of a question that this view answers, see `view_of`.
    new_question: builds a question from the id of its subject, a range and filters.
    filters: the names of the `Filters` that `new_question` uses.
    load: reads the figures; None where the subject does not exist.
    build: the view function.
    cache_key: the key under which the answer is cached; None for a question whose answer is not cached.
    tables: the view's name, the schema of its answer, and the tables of its files; none for a view without files.
    load_pages: for a view that answers in pages, reads all pages from one snapshot.
    """

    subject: type[Subject]
    question: type[Q]
    new_question: Callable[[str, Range, Filters], Q]
    filters: frozenset[str]
    load: Callable[[Snapshot, Q], Awaitable[Loaded[F] | None]]
    build: Callable[[Q, F], response_schemas.ApiStruct]
    cache_key: Callable[[Q], str | None]
    tables: ViewTables
    load_pages: Callable[[Snapshot, Q], AsyncGenerator[Loaded[F]]] | None = None

    @property
    def name(self) -> str:
        return self.tables.view

    @property
    def schema(self) -> type[response_schemas.ApiStruct]:
        return self.tables.schema

    @property
    def answer_has_title(self) -> bool:
        """Whether the answer holds the title of its event."""
        return "event_title" in self.schema.__struct_fields__


def _merchant(user_id: str, filters: Filters) -> MerchantSubject:
    """The merchant's events that the filters leave."""
    return MerchantSubject(user_id, filters.status, filters.text, filters.channels)


def _timeline(subject: S, range_: Range, filters: Filters) -> TimelineQuestion[S]:
    return TimelineQuestion(subject, range_, filters.granularity, week_start=filters.week_start)


EVENT_DASHBOARD = View(
    subject=EventSubject,
    question=EventDashboardQuestion,
    new_question=lambda id_, range_, _: EventDashboardQuestion(EventSubject(id_), range_),
    filters=frozenset(),
    load=event_loaders.load_dashboard,
    build=views.event_dashboard,
    cache_key=lambda question: keys.dashboard(question.subject.event_id) if question.is_default else None,
    tables=ViewTables("dashboard", response_schemas.Dashboard, "channel_performance", ("figures", "channels")),
)
EVENT_CHANNELS = View(
    subject=EventSubject,
    question=ChannelsQuestion[EventSubject],
    new_question=lambda id_, range_, filters: ChannelsQuestion(EventSubject(id_), range_, filters.channels),
    filters=frozenset({"channels"}),
    load=event_loaders.load_channels,
    build=views.event_channels,
    cache_key=lambda _: None,  # but each channel is cached, see `Reports.answer`
    tables=ViewTables("channels", response_schemas.EventChannels, "channels", ("channels", "figures")),
)
EVENT_TIMELINE = View(
    subject=EventSubject,
    question=TimelineQuestion[EventSubject],
    new_question=lambda id_, range_, filters: _timeline(EventSubject(id_), range_, filters),
    filters=frozenset({"granularity", "week_start"}),
    load=timeline_loaders.load_event_timeline,
    build=views.event_timeline,
    cache_key=lambda question: (
        keys.timeline(question.subject.event_id, question.granularity)
        if question.is_default and question.granularity
        else None
    ),
    tables=ViewTables("timeline", response_schemas.EventTimeline, "data_points", ("points", "figures")),
)
EVENT_ROI = View(
    subject=EventSubject,
    question=RoiQuestion[EventSubject],
    new_question=lambda id_, range_, _: RoiQuestion(EventSubject(id_), range_),
    filters=frozenset(),
    load=event_loaders.load_roi,
    build=views.event_roi,
    cache_key=lambda question: keys.roi(question.subject.event_id) if question.is_default else None,
    tables=ViewTables("roi", response_schemas.EventRoi, "channels", ("figures", "channels")),
)
EVENT_INSIGHTS = View(
    subject=EventSubject,
    question=InsightsQuestion,
    new_question=lambda id_, range_, filters: InsightsQuestion(EventSubject(id_), range_.tz, filters.week_start),
    filters=frozenset({"week_start"}),
    load=insight_loaders.load_insights,
    build=insights.event_insights,
    cache_key=lambda question: keys.insights(question.subject.event_id) if question.is_default else None,
    # sentences and marks are no tables: a file of the dashboard has the figures on which they rest
    tables=ViewTables("insights", response_schemas.EventInsights, "advice", ()),
)
MERCHANT_DASHBOARD = View(
    subject=MerchantSubject,
    question=MerchantDashboardQuestion,
    new_question=lambda id_, range_, filters: MerchantDashboardQuestion(_merchant(id_, filters), range_),
    filters=frozenset({"channels", "status", "text"}),
    load=merchant_loaders.load_dashboard,
    build=views.merchant_dashboard,
    cache_key=lambda question: keys.user(question.subject.user_id) if question.is_default else None,
    tables=ViewTables(
        "all-dashboard", response_schemas.User, "events", ("events", "figures"), count_field="total_events"
    ),
    load_pages=merchant_loaders.load_dashboard_pages,
)
MERCHANT_CHANNELS = View(
    subject=MerchantSubject,
    question=ChannelsQuestion[MerchantSubject],
    # `channels` selects what is shown, in the other merchant views the events that run on one of them
    new_question=lambda id_, range_, filters: ChannelsQuestion(
        MerchantSubject(id_, filters.status, filters.text), range_, filters.channels
    ),
    filters=frozenset({"channels", "status", "text"}),
    load=merchant_loaders.load_channels,
    build=views.merchant_channels,
    cache_key=lambda _: None,
    tables=ViewTables("all-channels", response_schemas.UserChannels, "channels", ("channels", "figures")),
)
MERCHANT_TIMELINE = View(
    subject=MerchantSubject,
    question=TimelineQuestion[MerchantSubject],
    new_question=lambda id_, range_, filters: _timeline(_merchant(id_, filters), range_, filters),
    filters=frozenset({"granularity", "week_start", "channels", "status", "text"}),
    load=timeline_loaders.load_merchant_timeline,
    build=views.merchant_timeline,
    cache_key=lambda _: None,
    tables=ViewTables("all-timeline", response_schemas.UserTimeline, "data_points", ("points", "figures")),
)
MERCHANT_ROI = View(
    subject=MerchantSubject,
    question=RoiQuestion[MerchantSubject],
    new_question=lambda id_, range_, filters: RoiQuestion(_merchant(id_, filters), range_),
    filters=frozenset({"channels", "status", "text"}),
    load=merchant_loaders.load_roi,
    build=views.merchant_roi,
    cache_key=lambda _: None,
    tables=ViewTables("all-roi", response_schemas.UserRoi, "channels", ("figures", "channels")),
)

AnyView = View[Any, Any]
"""A view whose question and figures are known only to its own entry."""
VIEWS: tuple[AnyView, ...] = (
    EVENT_DASHBOARD,
    EVENT_CHANNELS,
    EVENT_TIMELINE,
    EVENT_ROI,
    EVENT_INSIGHTS,
    MERCHANT_DASHBOARD,
    MERCHANT_CHANNELS,
    MERCHANT_TIMELINE,
    MERCHANT_ROI,
)
VIEWS_BY_NAME = {view.name: view for view in VIEWS}
FILE_VIEWS_BY_NAME = {view.name: view for view in VIEWS if view.tables.names}
"""The views whose answers become files."""
_BY_TYPES = {(get_origin(view.question) or view.question, view.subject): view for view in VIEWS}


def view_of(question: Question) -> AnyView:
    """The view that answers a question: by the type of the question and of its subject."""
    return _BY_TYPES[type(question), type(question.subject)]


# -- the two dashboards without parameters, which live updates name by topic ----------------------------------------


def dashboard_question(topic: Topic) -> EventDashboardQuestion | MerchantDashboardQuestion:
    kind, id_ = topic
    if kind == "event":
        return EventDashboardQuestion(EventSubject(id_))
    return MerchantDashboardQuestion(MerchantSubject(id_))


def dashboard_key(topic: Topic) -> str:
    """The cache key of a topic's dashboard."""
    kind, id_ = topic
    return keys.dashboard(id_) if kind == "event" else keys.user(id_)
