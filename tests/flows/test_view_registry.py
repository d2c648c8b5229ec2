"""The registry of views."""

from hannun.domain.questions import Filters
from hannun.domain.ranges import ALL_TIME
from hannun.flows.report.registry import VIEWS, VIEWS_BY_NAME, view_of


def test_every_view_has_a_name_and_a_question_of_its_own() -> None:
    assert len(VIEWS_BY_NAME) == len(VIEWS)
    for view in VIEWS:
        assert view_of(view.new_question("some-id", ALL_TIME, Filters())) is view, view.name


def test_the_list_and_the_count_of_every_view_are_fields_of_its_schema() -> None:
    for view in VIEWS:
        fields = view.schema.__struct_fields__
        assert view.tables.list_field in fields, view.name
        assert view.tables.count_field is None or view.tables.count_field in fields, view.name
