"""Who has seen what of others' data is in the audit log, once an hour, and costs a request no transaction."""

import pytest
from served import OTHER_MERCHANT, Site, in_days
from world import OWNER, SPRING, World

from hannun.domain.audit_chain import Action, NewEntry, event_object, user
from hannun.flows import access_records
from hannun.flows.access_records import AccessRecords
from hannun.store.database import Database, PoolLimits
from hannun.telemetry import metrics

DASHBOARD = f"/api/v1/events/{SPRING}/analytics"
ADMIN = "the-operator"


@pytest.fixture
def full(site: Site) -> Site:
    site.world.count(site.world.created(), site.world.created("another", owner=OTHER_MERCHANT))
    return site


def recorded(world: World) -> list[tuple[str, str, str, str | None]]:
    """(actor, action, object, whose data) of each entry, in this order."""
    rows = world.rows(
        "SELECT a.subject_id AS actor, e.action, e.object, s.subject_id AS subject FROM hannun.audit_log e "
        "JOIN hannun.audit_subjects a ON a.subject_ref = e.actor "
        "LEFT JOIN hannun.audit_subjects s ON s.subject_ref = e.subject"
    )
    return sorted((row.actor, row.action, row.object, row.subject) for row in rows)


def written(site: Site) -> list[tuple[str, str, str, str | None]]:
    """What is recorded, with everything that was added before."""
    site.services.access_records.write()
    return recorded(site.world)


def test_what_an_admin_sees_is_recorded_once_an_hour_also_on_the_fast_path(full: Site) -> None:
    for _ in range(3):  # the third from the cache of the process, without the framework
        for path in (DASHBOARD, f"/api/v1/users/{OWNER}/analytics", "/api/v1/events", f"{DASHBOARD}/roi"):
            assert full.admin.get(path).status_code == 200
    assert written(full) == [
        (ADMIN, "read", "all events of a merchant", OWNER),
        (ADMIN, "read", event_object(SPRING), None),
        (ADMIN, "read", "the list of all events", None),
    ]


def test_the_list_of_merchants_is_recorded_and_the_figures_of_the_system_are_not(full: Site) -> None:
    for path in ("merchants", "merchants?q=%EB%B4%84", "operations/overview", "operations/dead-letters", "session"):
        assert full.admin.get(f"/api/v1/{path}").status_code == 200
    assert written(full) == [(ADMIN, "read", "the list of all merchants", None)]


def test_a_dashboard_that_only_the_fast_path_answers_is_recorded(full: Site) -> None:
    full.admin.get(DASHBOARD)
    written(full)
    full.services.access_records._recorded.clear()  # as in the next hour
    assert full.admin.get(DASHBOARD).headers["x-data-source"] == "cache"
    assert written(full) == [(ADMIN, "read", event_object(SPRING), None)] * 2


def test_merchants_are_recorded_only_where_they_take_a_file_and_others_are_refused(full: Site) -> None:
    for path in (DASHBOARD, f"/api/v1/users/{OWNER}/analytics"):
        assert full.owner.get(path).status_code == 200
    assert full.other_merchant.get(DASHBOARD).status_code == 404
    assert full.other_merchant.get(f"/api/v1/users/{OWNER}/analytics?format=csv").status_code == 404
    assert written(full) == []
    assert full.owner.get(f"{DASHBOARD}?format=csv").status_code == 200
    assert full.owner.get(f"/api/v1/users/{OWNER}/analytics?format=csv").status_code == 200
    assert written(full) == [
        (OWNER, "exported", "all events of a merchant", OWNER),
        (OWNER, "exported", event_object(SPRING), None),
    ]


def test_readers_by_a_share_link_are_recorded_as_the_link(full: Site) -> None:
    made = full.owner.post(f"/api/v1/events/{SPRING}/shares", json={"until": in_days(7), "label": "agency"}).json()
    secret = made["address"].partition("#share=")[2]
    for _ in range(2):
        reader = full.client({"Cookie": f"hannun_share={secret}"})
        assert reader.get(DASHBOARD).status_code == 200
    assert reader.get(f"{DASHBOARD}?format=txt&lang=ko").status_code == 200
    assert written(full) == sorted(
        [
            (OWNER, "share link created", event_object(SPRING), None),
            (made["shareId"], "read", event_object(SPRING), None),
            (made["shareId"], "exported", event_object(SPRING), None),
        ]
    )


def test_any_subject_of_a_token_is_recorded_and_an_entry_that_is_refused_keeps_no_other_waiting(world: World) -> None:
    records = AccessRecords(world.database)
    for subject in ("x" * 3_000, "nul\0", "\ud800"):
        records.add(NewEntry(user(subject), Action.READ, ""))
    records.write()
    records.add(NewEntry(user(ADMIN), Action.READ, "x" * 501))
    records.write()
    records.add(NewEntry(user(ADMIN), Action.READ, ""))
    records.write()
    assert [actor for actor, *_ in recorded(world)] == ["?", "nul", ADMIN, "x" * 200]


def test_an_entry_that_is_refused_loses_no_other_of_its_transaction(world: World) -> None:
    records, before = AccessRecords(world.database), metrics.audit_entries_lost._value.get()
    for object_ in ("first", "x" * 501, "last"):
        records.add(NewEntry(user(ADMIN), Action.READ, object_))
    assert records.write() == 3
    assert [object_ for _, _, object_, _ in recorded(world)] == ["first", "last"]
    assert metrics.audit_entries_lost._value.get() - before == 1


def test_entries_wait_for_postgresql_up_to_a_bound_and_what_is_lost_is_counted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access_records, "QUEUE_MAX", 3)
    database = Database(world.url, PoolLimits(), application="test")
    records = AccessRecords(database)
    database.end()  # as if PostgreSQL were away
    lost = metrics.audit_entries_lost._value.get()
    for no in range(5):
        records.add(NewEntry(user(ADMIN), Action.READ, event_object(f"{no}")))
    assert (records.write(), recorded(world)) == (0, [])
    database._ended = False
    assert records.write() == 3
    assert [object_ for _, _, object_, _ in recorded(world)] == ["event 0", "event 1", "event 2"]
    assert metrics.audit_entries_lost._value.get() == lost + 2
    database.close()


def test_the_same_is_recorded_again_in_the_next_hour(world: World) -> None:
    times = iter((0.0, 3_599.0, 3_600.0, 3_601.0))
    records = AccessRecords(world.database, lambda: next(times))
    for _ in range(4):
        records.add(NewEntry(user(ADMIN), Action.READ, event_object(SPRING)))
    records.write()
    assert len(recorded(world)) == 2
