"""The sections of `hannun watch` about counting and the servers: overview, counting, sizes, queries, redis."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from hannun.cli.watch_text import WIDTH, cut, duration, pad, percent, size
from hannun.flows.server_watch import rate, recent_hit_ratio

if TYPE_CHECKING:
    from hannun.domain.positions import Partition
    from hannun.domain.refresh_status import RefreshStatus
    from hannun.flows.server_watch import DatabaseView, RedisView
    from hannun.processes.commands.watching import InPostgres, Reading

OVERVIEW_LINES = 21
"""How many lines the overview has on a terminal of 24, below the sections and the time."""
SIZES_SHOWN = 20
_LABEL_WIDTH = 10
_QUERY_WIDTH = 39
HIDDEN_TEXT = "<insufficient privilege>"
"""What pg_stat_statements shows instead of another role's query."""


def overview_lines(
    postgres: "Reading[InPostgres]", redis: "Reading[RedisView]", lag: "Reading[Mapping[Partition, int]] | None"
) -> list[str]:
    """Everything on one screen of 80 columns and 24 lines."""
    lines = []
    if postgres.found is not None:
        lines += [*_counting_summary(postgres, lag), *_refresh_summary(postgres.found.refresh.status)]
        lines += _database_summary(postgres.found.servers)
    lines += _redis_summary(redis)
    if postgres.found is not None:
        view = postgres.found.servers
        each_max = (OVERVIEW_LINES - len(lines)) // 2 - 2  # above each list are an empty line and its title
        lines += ["", *_tables(view, each_max)]
        lines += ["", *_queries(view, each_max)]
    return lines


def counting_lines(postgres: "Reading[InPostgres]", lag: "Reading[Mapping[Partition, int]] | None") -> list[str]:
    """Rate, lag by partition, and what waits."""
    lines = [] if postgres.found is None else [*_counting_summary(postgres, lag)]
    if lag is None:
        return [*lines, "", "KAFKA_BOOTSTRAP_SERVERS is not set, so the lag is not known"]
    if lag.error is not None:
        lines += ["", cut(f"Kafka is away, and is asked again: {lag.error.args[0]}")]
    if lag.found is not None:
        lines += ["", f"{pad('topic', 50)}{'partition':>10}{'not counted':>18}"]
        largest = sorted(lag.found.items(), key=lambda item: (-item[1], item[0]))
        lines += [f"{pad(topic, 50)}{number:>10}{count:>18,}" for (topic, number), count in largest]
    return lines


def size_lines(view: "DatabaseView", each_max: int = SIZES_SHOWN) -> list[str]:
    """Tables and indexes, the largest first; at most so many of each."""
    lines = [*_database_summary(view), "", *_tables(view, each_max), ""]
    lines.append(f"{pad('largest indexes', 52)}{'size':>12}{'scans':>16}")
    lines += [f"{pad(each.name, 52)}{size(each.bytes):>12}{each.scans:>16,}" for each in view.indexes[:each_max]]
    return lines


def query_lines(view: "DatabaseView") -> list[str]:
    """The slowest queries by total time."""
    return list(_queries(view, len(view.slowest.queries), lines_each=2))


def redis_lines(redis: "Reading[RedisView]") -> list[str]:
    """Memory, hit rate and the slow log of Redis."""
    lines = list(_redis_summary(redis))
    if redis.found is not None:
        lines += ["", f"{pad('slow log, newest first', 52)}{'took':>14}{'ago':>14}"]
        lines += [
            f"{pad(each.command, 52)}{each.microseconds / 1000:>11,.1f} ms{duration(each.age_s):>14}"
            for each in redis.found.slow
        ]
        if not redis.found.slow:
            lines.append("no command took longer than slowlog-log-slower-than")
    return lines


# -- summaries: a label and what belongs to it


def _counting_summary(postgres: "Reading[InPostgres]", lag: "Reading[Mapping[Partition, int]] | None") -> Iterator[str]:
    assert postgres.found is not None
    now = postgres.found.servers.counting
    kafka = [f"{_rate(postgres, 'offsets')} messages/s"]
    if lag is not None:
        kafka.append("lag -" if lag.found is None or lag.error is not None else f"lag {sum(lag.found.values()):,}")
    if now.counted_at is not None:
        kafka.append(f"counted {duration((now.now - now.counted_at).total_seconds())} ago")
    kafka.append(f"stopped {now.stopped}" + (" !" if now.stopped else ""))
    yield _labelled("Kafka", kafka)
    yield _labelled(
        "counted",
        [
            f"{_rate(postgres, 'ledger_rows')} participants and sales/s",
            f"dead letters {postgres.found.servers.dead_letters_open:,}",
            f"invalidations pending {now.pending:,}",
        ],
    )


def _refresh_summary(status: "RefreshStatus") -> Iterator[str]:
    if not status.rounds:
        yield _labelled("refresh", ["never"])
    else:
        newest = status.rounds[0]
        ended = "runs" if newest.ended_at is None else "ended"
        moment = newest.began_at if newest.ended_at is None else newest.ended_at
        since = duration((status.now - moment).total_seconds())
        told = f"round {ended}, for {since}" if newest.ended_at is None else f"round {ended} {since} ago"
        yield _labelled("refresh", [told, f"{newest.pieces_done:,} of {newest.pieces:,} pieces done"])
    names = {key: work.name for key, work in status.work.items()} | {key: age.name for key, age in status.ages.items()}
    states = [
        f"{names.get(key, key)} {each.name} !" for key, each in sorted(status.breakers.items()) if each.name != "closed"
    ]
    yield _labelled("breakers", states or [f"all closed ({len(status.breakers)})"])


def _database_summary(view: "DatabaseView") -> Iterator[str]:
    months = view.months
    attached = f"{min(months.attached):%Y-%m} to {max(months.attached):%Y-%m}" if months.attached else "none"
    detached = [f"{len(months.detached)} detached"] if months.detached else []
    ahead = f"{months.ahead} ahead" + ("" if months.ahead else " !")
    yield _labelled("months", [attached, ahead, *detached])
    ages = [
        f"{kind.removeprefix('backup-')} {duration(each.age_s)} ago" for kind, each in sorted(view.operations.items())
    ]
    yield from _labelled_lines("backups", ages or ["none on record"])
    yield _labelled("database", [size(view.database_bytes)])


def _redis_summary(redis: "Reading[RedisView]") -> Iterator[str]:
    if redis.error is not None:
        yield cut(f"Redis is away, and is asked again: {redis.error.args[0]}")
    if redis.found is None:
        return
    now = redis.found.statistics
    before = None if redis.before is None else redis.before.statistics
    limit = f" of {size(now.max_bytes)}" if now.max_bytes else ""
    yield _labelled(
        "Redis",
        [
            f"{size(now.used_bytes)}{limit}",
            f"{now.keys:,} keys",
            f"{now.clients:,} clients",
            f"{now.commands_a_second:,} commands/s",
        ],
    )
    yield _labelled(
        "hit rate",
        [
            f"{percent(recent_hit_ratio(now, before))} now",
            f"{percent(now.hit_ratio)} since its start",
            f"evicted {now.evicted_keys:,}",
        ],
    )


def _rate(postgres: "Reading[InPostgres]", figure: Literal["offsets", "ledger_rows"]) -> str:
    """How fast a figure of `Counting` rises, a second; `-` where that is not known."""
    assert postgres.found is not None
    before = None if postgres.before is None else postgres.before.servers.counting
    found = rate(postgres.found.servers.counting, before, figure)
    return "-" if found is None else f"{found:,.0f}"


def _labelled(label: str, parts: Sequence[str]) -> str:
    return cut(f"{pad(label, _LABEL_WIDTH)}{'   '.join(parts)}")


def _labelled_lines(label: str, parts: Sequence[str]) -> Iterator[str]:
    """As many lines as the parts need: none of them is cut."""
    line: list[str] = []
    for part in parts:
        if line and len("   ".join([*line, part])) > WIDTH - _LABEL_WIDTH:
            yield _labelled(label, line)
            label, line = "", []
        line.append(part)
    yield _labelled(label, line)


# -- tables


def _tables(view: "DatabaseView", limit: int) -> Iterator[str]:
    yield f"{pad('largest tables', 36)}{'total':>9}{'indexes':>10}{'rows, about':>15}{'parts':>8}"
    for each in view.tables[:limit]:
        rows = f"{each.rows:,}" if each.rows >= 0 else "-"
        parts = f"{each.partitions}" if each.partitions > 1 else ""
        total = size(each.bytes + each.index_bytes)
        yield f"{pad(each.name, 36)}{total:>9}{size(each.index_bytes):>10}{rows:>15}{parts:>8}"


def _queries(view: "DatabaseView", limit: int, *, lines_each: int = 1) -> Iterator[str]:
    """Each query with its figures and so many lines of its text."""
    if view.slowest.hint is not None:
        yield from textwrap.wrap(f"slowest queries: {view.slowest.hint}", WIDTH)
        return
    yield f"{pad('slowest queries, by total time', 40)}{'calls':>12}{'total':>14}{'mean':>14}"
    for each in view.slowest.queries[:limit]:
        text, rest = each.text, ""
        if lines_each > 1:
            text, *_ = textwrap.wrap(each.text, _QUERY_WIDTH) or [""]
            rest = each.text[len(text) :].lstrip()
        figures = f"{each.calls:>12,}{each.total_exec_time / 1000:>12,.1f} s{each.mean_exec_time:>11,.2f} ms"
        yield f"{pad(text, _QUERY_WIDTH)} {figures}"
        if rest:
            yield "  " + textwrap.shorten(rest, WIDTH - 2, placeholder=" ...")
    if lines_each > 1 and any(each.text == HIDDEN_TEXT for each in view.slowest.queries[:limit]):
        yield from textwrap.wrap(
            f"{HIDDEN_TEXT}: as a superuser, GRANT pg_monitor TO the role of DATABASE_URL",
            WIDTH,
            subsequent_indent="  ",
        )
