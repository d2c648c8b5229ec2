"""From the JSON of a channel to raw counts."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hannun.channels.declaration import ById, Columns, Items, Named, Response, shipped
from hannun.channels.http_exchange import Received
from hannun.channels.json_paths import steps, value_at, values_at
from hannun.channels.mapping import mapping_of
from hannun.channels.paging import Page, PagingFailed, first_page, next_page
from hannun.channels.responses import classify
from hannun.domain.channel_totals import ChannelTotals, RefusedTotals, checked

ITEMS = Items(items="data", id="key.id", counts={"views": "v", "clicks": ("c.a", "c.b")})
BY_ID = ById(items="posts", counts={"views": "v", "average_duration": "d"}, absent="zero")
COLUMNS = Columns(columns="head", rows="rows", id="id", counts={"views": "a.b", "clicks": ("x", "y")})
NAMED = Named(items="data", name="n", value="v.0", counts={"views": "views", "shares": ("s", "t")})


@pytest.mark.parametrize(
    ("shape", "document", "expected"),
    [
        (ITEMS, {"data": [{"key": {"id": "a"}, "v": "5", "c": {"a": 1, "b": "2.0"}}]}, {"views": "5", "clicks": 3}),
        (ITEMS, {"data": [{"key": {"id": "A"}, "v": 1}]}, {"views": 1, "clicks": None}),
        (ITEMS, {"data": [{"key": {"id": "a"}, "v": 1}, {"key": {"id": "a"}, "v": 2}]}, {"views": 2, "clicks": None}),
        (ITEMS, {"data": [{"key": {"id": "b"}, "v": 1}]}, None),
        (ITEMS, {"data": [{"key": {"id": "a"}, "c": {"a": -1, "b": 5}}]}, {"views": None, "clicks": -1}),
        (ITEMS, {"data": [{"key": {"id": "a"}, "c": {"a": True, "b": 5}}]}, {"views": None, "clicks": True}),
        (ITEMS, {"data": [{"key": {"id": "a"}, "c": {"a": 1.5, "b": 5}}]}, {"views": None, "clicks": 1.5}),
        (ITEMS, {"data": [{"key": {"id": "a"}, "c": [1, 5]}]}, {"views": None, "clicks": None}),
        (ITEMS, {"data": []}, None),
        (BY_ID, {"posts": {"a": {}}}, {"views": 0, "average_duration": None}),
        (BY_ID, {"posts": {"a": {"v": None, "d": 3.5}}}, {"views": 0, "average_duration": 3.5}),
        (COLUMNS, {"head": ["y", "id", "a.b", "x"], "rows": [[1, "a", 7, 2]]}, {"views": 7, "clicks": 3}),
        (COLUMNS, {"head": ["id", "a.b"], "rows": [["a"]]}, {"views": None, "clicks": None}),
        (
            NAMED,
            {"data": [{"n": "views", "v": [9]}, {"n": "s", "v": [1]}, {"n": "t", "v": [2]}]},
            {"views": 9, "shares": 3},
        ),
        (NAMED, {"data": []}, {}),
    ],
)
def test_counts_are_found(shape: Response, document: object, expected: dict[str, object] | None) -> None:
    found = mapping_of(shape)(document, ["a"])
    assert found == ({} if expected is None else {"a": expected})


@pytest.mark.parametrize(
    ("shape", "document"),
    [
        (ITEMS, None),
        (ITEMS, {"data": {}}),
        (ITEMS, {"data": [1, {"key": {}}]}),
        (BY_ID, {"posts": []}),
        (BY_ID, {"posts": {"a": 1}}),
        (COLUMNS, {"head": ["x"], "rows": []}),
        (COLUMNS, {"head": ["id"], "rows": [1]}),
        (NAMED, {"data": {}}),
        (NAMED, {"data": [{"title": "views"}]}),
    ],
)
def test_another_shape_is_no_counts(shape: Response, document: object) -> None:
    assert mapping_of(shape)(document, ["a"]) is None


KEYS = st.sampled_from(
    [
        "data",
        "items",
        "posts",
        "columns",
        "rows",
        "name",
        "value",
        "values",
        "0",
        "id",
        "statistics",
        "viewCount",
        "e1",
        "metrics",
        "dimensions",
        "creative_id",
        "visits",
        "pc",
        "mobile",
        "likes",
        "campaign",
        "dialed",
        "result",
        "code",
        "error",
        "errors",
        "nextPageToken",
        "totalPages",
        "hasMore",
        "cursor",
        "page",
        "viewCnt",
        "impCnt",
    ]
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    KEYS,
    st.sampled_from([2**63, -(2**63), 10**400, "9" * 500, "-1", "1e9", "NaN", "e1", "0000", ""]),
)
JSON = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=40
)


@given(st.sampled_from(list(shipped().values())), JSON, st.integers(100, 599))
def test_no_json_raises_anywhere(declaration: Any, document: object, status: int) -> None:
    found = mapping_of(declaration.response)(document, ["e1"])
    for raw in (found or {}).values():
        assert isinstance(checked(raw), ChannelTotals | RefusedTotals)
    page = first_page(declaration.paging)
    try:
        following = next_page(declaration.paging, page, document)
    except PagingFailed:
        following = None
    assert following is None or (following.number == 2 and following.value)
    values_at(document, steps("*.*.call_count"))


@given(st.sampled_from(list(shipped().values())), st.binary(max_size=100), st.integers(100, 599))
def test_no_body_raises(declaration: Any, body: bytes, status: int) -> None:
    classified = classify(declaration, Received(status, {}, body))  # type: ignore[arg-type]
    assert classified.reason or classified.document is not None or body.strip() == b"null" or not classified.known


def test_a_path_reads_keys_and_positions() -> None:
    document = {"a": [{"0": "key"}, "second"]}
    assert value_at(document, steps("a.1")) == "second"
    assert value_at(document, steps("a.0.0")) == "key"
    for path in ("a.2", "a.-1", "a.x", "a.٣", "b", "a.1.z", "a.99999999999"):
        assert value_at(document, steps(path)) is None


def test_a_deep_document_costs_no_stack() -> None:
    deep: Any = []
    for _ in range(50_000):
        deep = [deep]
    assert values_at(deep, steps("*.*.*")) != []
    assert mapping_of(ITEMS)({"data": deep}, ["a"]) is None


def test_a_page_follows_only_while_there_are_more() -> None:
    paging = shipped()["genietv"].paging
    assert next_page(paging, Page("1"), {"totalPages": 2}) == Page("2", 2)
    assert next_page(paging, Page("2", 2), {"totalPages": 2}) is None
    assert next_page(paging, Page("1"), {}) is None
    with pytest.raises(PagingFailed):
        next_page(paging, Page("20", 20), {"totalPages": 10**30})
