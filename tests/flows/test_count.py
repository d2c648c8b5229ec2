from world import World


def test_a_participant_is_counted_once_however_often_it_is_told(world: World) -> None:
    world.counts(world.created())
    first = world.counts(world.registered("p1", channel="NAVER"), world.registered("p2"))
    again = world.counts(world.registered("p1", channel="Instagram", at="2026-11-21T10:00:00Z"), world.registered("p2"))
    assert [outcome.result for outcome in first] == ["counted", "counted"]
    assert [outcome.result for outcome in again] == ["repeated", "repeated"]
    assert world.event().total_participants == 2
    assert world.channels()["NaverBlog"].participants == 1
    assert world.ours().unattributed == 1
    assert world.drift() == []


def test_an_event_without_channels_has_no_views(world: World) -> None:
    world.counts(world.created())
    assert world.event().total_views == 0
    assert world.drift() == []
