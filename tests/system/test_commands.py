"""Every command in a terminal of 80 columns: no line is wider, nothing is cut, and it says what to do next."""

import json
import re

import pytest
from outside import CompletedCommand, Event, Service, Topics, wait_for
from widths import WIDTH, assert_fits

from hannun.embedded import KafkaServer

pytestmark = [pytest.mark.kafka, pytest.mark.xdist_group("kafka, too")]


class Operator:
    """Runs commands in a terminal of 80 columns, over a service that has what can be listed."""

    def __init__(self, service: Service, topics: Topics) -> None:
        self.service = service
        self.topics = topics
        self.environment = topics.environment()

    def run(self, command: str, *arguments: str) -> CompletedCommand:
        """Run a command. Asserts that nothing is cut and each line fits the terminal, or is one word or one command."""
        ran = self.service.run(*command.split(), *arguments, COLUMNS=str(WIDTH), **self.environment)
        assert_fits(ran, command)
        return ran


@pytest.fixture
def operator(service: Service, topics: Topics) -> Operator:
    return Operator(service, topics)


@pytest.fixture(scope="module")
def same_operator(a_service: Service, kafka: KafkaServer) -> Operator:
    """One for all tests that change nothing, or nothing of each other's."""
    topics = Topics(kafka.bootstrap)
    kafka.create_topics(dict.fromkeys(topics.names.values(), 2))
    return Operator(a_service, topics)


def test_the_lists_name_every_place_in_full_and_what_to_do(operator: Operator) -> None:
    service, topics = operator.service, operator.topics
    event = Event()
    ingest = service.start_ingest(**operator.environment | {"HANNUN_DEAD_LETTERS_IN_A_ROW_MAX": "5"})
    messages = event.first_batch()
    topics.send(messages)
    wait_for("the messages to be counted", lambda: topics.are_counted(service))
    for _ in range(20):
        topics.send_raw("sales-recorded", b"not JSON at all", key="all in one partition")
    ingest.wait_for_log("partition stopped")

    listed = operator.run("positions list")
    assert listed.status == 1
    (number,) = service.rows("SELECT partition FROM hannun.stopped_partitions")[0]
    place = f"{topics.names['sales-recorded']}[{number}]"
    lines = listed.out.splitlines()
    (stopped,) = [index for index, line in enumerate(lines) if line.startswith(place)]
    assert "messages in a row cannot be used" in lines[stopped + 1]
    hint = " ".join(lines[stopped + 2 : stopped + 4]).split()
    assert hint[:4] == ["hannun", "positions", "set", topics.names["sales-recorded"]]

    shown = operator.run(" ".join(hint[1 : hint.index("-n") + 1]))  # pasted
    assert shown.status == 0, shown.err
    assert re.search(r"skipping \d+ offsets", " ".join(shown.out.split()))
    assert "nothing has changed" in shown.out
    assert operator.run("positions list").out == listed.out

    of_reason = operator.run("dead-letters list --reason missing-field")
    (offset,) = service.rows("SELECT record_offset FROM hannun.dead_letters WHERE reason = 'missing-field'")[0]
    assert f"{topics.names['participant-registered']}[" in of_reason.out and f"@{offset}" in of_reason.out
    assert event.id in of_reason.out
    assert operator.run("dead-letters retry --reason missing-field").status == 1
    assert operator.run("dead-letters drop --reason missing-field").out == "1 dropped\n"
    none = "there are no open dead letters of the reason missing-field\n"
    assert operator.run("dead-letters list --reason missing-field").out == none
    assert "missing-field" in operator.run("dead-letters list --all").out


def test_a_stopped_partition_takes_three_lines_however_long_its_reason_is(operator: Operator) -> None:
    """What librdkafka says of a damaged batch is longer than a line. The list says where to read all of it."""
    topic = operator.topics.names["participant-registered"]
    reason = (
        "cannot be read from offset 123456789: wrong checksum: MessageSet at offset 123456789 (1048576 bytes) "
        "failed CRC32C check (original 0x1a2b3c4d != calculated 0x5e6f7a8b)"
    )
    operator.service.rows(
        "INSERT INTO hannun.stopped_partitions (topic, partition, why, hint, found_by) "
        "VALUES (%s, 1, %s, %s, 'a test') RETURNING topic",
        topic,
        reason,
        f"hannun positions set {topic} --partition 1 --to latest -n",
    )
    place, why, hint, in_full = operator.run("positions list").out.splitlines()
    assert place == f"{topic}[1] never read: stopped"
    assert why.startswith("  cannot be read from offset 123456789: wrong checksum: ") and why.endswith(" ...")
    assert hint == f"  hannun positions set {topic} --partition 1 --to latest -n"
    command = in_full.partition(": hannun ")[2]
    assert json.loads(operator.service.run(*command.split()).out)["stopped"] == reason
    wide = operator.service.run("positions", "list", COLUMNS="300").out.splitlines()
    assert wide[1:] == [f"  {reason}", hint], "a wide terminal shows it at once"


@pytest.mark.parametrize("command", ["reconcile", "partitions list", "positions list", "dead-letters list --all"])
def test_a_command_over_an_empty_database_succeeds(same_operator: Operator, command: str) -> None:
    assert same_operator.run(command).status == 0


@pytest.mark.parametrize("command", ["list", "retry", "drop"])
def test_a_reason_that_does_not_exist_is_refused_and_one_without_dead_letters_is_said(
    same_operator: Operator, command: str
) -> None:
    refused = same_operator.run(f"dead-letters {command} --reason bogus")
    assert refused.status == 2
    assert "not-json" in refused.err
    none = same_operator.run(f"dead-letters {command} --reason not-json")
    assert (none.status, none.out) == (0, "there are no open dead letters of the reason not-json\n")


def test_an_offset_that_only_some_partitions_hold_is_decided_for_those(same_operator: Operator) -> None:
    name = same_operator.topics.names["sales-recorded"]
    for _ in range(3):
        same_operator.topics.send_raw("sales-recorded", b"{}", key="all in one partition")
    number = same_operator.topics.delivered[-1][0][1]
    ran = same_operator.run(f"positions set {name} --to 2")
    assert ran.status == 1
    text = " ".join(ran.out.split())
    assert f"{name}[{number}] never read; goes on at 2, skipping 2 offsets" in text
    assert f"{name}[{1 - number}] holds offsets 0 to 0, not 2: nothing is decided for it" in text
    assert same_operator.service.rows("SELECT partition, goes_on_at FROM hannun.position_decisions") == [(number, 2)]


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("positions set no-such-topic --to earliest", "hannun positions list"),
        ("positions forget no-such-topic", "hannun positions list"),
        ("positions set {name} --to yesterday", "2026-11-23T09:00:00+09:00"),
        ("positions set {name} --to 7", "give an offset within these"),
        ("positions set {name} --partition 9 --to earliest", "has partitions 0 to 1"),
        ("positions forget {never_read}", "hannun positions list"),
        ("dead-letters show 1", "hannun dead-letters list"),
        ("dead-letters drop", "hannun dead-letters list"),
        ("replay --topic no-such-topic --into live", "one of"),
        ("replay compare", "hannun replay --from earliest"),
    ],
)
def test_an_error_says_what_to_do_on_a_line_of_its_own(same_operator: Operator, command: str, hint: str) -> None:
    names = same_operator.topics.names
    ran = same_operator.run(command.format(name=names["sales-recorded"], never_read=names["event-created"]))
    assert ran.status == 2
    first, *rest = ran.err.splitlines()
    assert first.startswith("hannun: ")
    assert hint in " ".join(ran.err.split())
    assert any(line.startswith("Hint: ") for line in rest)
