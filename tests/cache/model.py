"""A model of the cache's protocol, small enough to explore everything that can happen in it.

One key; two writers, each with one commit; three readers in two processes. The third reader is the same client as the
second and reads after it. Each step is one command of `hannun.cache` or one transaction, and is named after it. Between
any two steps any other step may come, and a fault as long as some are left: a process dies, a command does not reach
Redis, a lease expires, a subscription is lost, Redis returns with what it had saved.

`Rules` are what the protocol does. Each can be broken, and then a history must be found that breaks a promise. (That a
fill never replaces something newer is not among them: under the lease there is nothing newer. It is a second defence.)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from history import ReadStart, broken_promise

NONE = 0


@dataclass(frozen=True)
class Rules:
    """What the code does; a rule set to False is a planted mistake."""

    invalidate_removes_lease: bool = True
    fill_checks_lease: bool = True
    run_is_compared: bool = True
    run_is_of_the_lease: bool = True
    outbox_entry_in_the_transaction: bool = True
    delivered_after_invalidation: bool = True
    floors: bool = True
    version_from_etag: bool = True
    guard_before_read: bool = True
    lost_subscription_clears_local: bool = True
    announced_after_delete: bool = True


@dataclass(frozen=True)
class Setting:
    """What surrounds the protocol: how many faults of each kind, with a local cache or without, how many writers.

    `other_process`: the second and third read of the one client go to different processes.
    """

    crashes: int = 1
    cuts: int = 0
    expiries: int = 0
    losses: int = 0
    restarts: int = 0
    local_cache: bool = False
    other_process: bool = False
    writers: int = 2


class Reader(NamedTuple):
    """A reader: where it is, what it was promised and has seen, the version it read, its guard, its lease's run."""

    at: str = "idle"
    promised: int = 0
    seen: int = 0
    version: int = 0
    guard: bool = False
    run: int = 0


class Process(NamedTuple):
    """A `serve` process: its floor, its local entry, the announcements on their way to it, the newest it received."""

    floor: int = 0
    local: int = NONE
    arriving: tuple[int, ...] = ()
    subscribed: bool = True
    received: int = 0


class State(NamedTuple):
    """The whole system between two steps."""

    committed: int = 1
    answer: tuple[int, int] = (NONE, 0)  # version, run
    lease: int = NONE  # the reader's number + 1
    run: int = 0
    saved: tuple[tuple[int, int], int] | None = None
    acknowledged: int = 1
    pending: tuple[int, ...] = ()  # versions whose invalidation is in the outbox
    relay: tuple[str, int] = ("idle", 0)
    writers: tuple[tuple[str, int], ...] = ()
    readers: tuple[Reader, ...] = (Reader(),) * 3
    processes: tuple[Process, ...] = (Process(),) * 2
    left: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)  # crashes, cuts, expiries, losses, restarts
    broken: str | None = None


Step = tuple[str, State]
CRASH, CUT, EXPIRY, LOSS, RESTART = range(5)


def first_state(setting: Setting) -> State:
    left = (setting.crashes, setting.cuts, setting.expiries, setting.losses, setting.restarts)
    # An answer is cached already, as in a service that runs.
    return State(answer=(1, 0), writers=(("idle", 0),) * setting.writers, left=left)


class Model:
    """The steps that can come next."""

    def __init__(self, rules: Rules, setting: Setting) -> None:
        self._rules = rules
        self._setting = setting

    def steps(self, state: State) -> Iterator[Step]:
        for number, (at, version) in enumerate(state.writers):
            yield from self._writer(state, number, at, version)
        yield from self._relay(state)
        for number, reader in enumerate(state.readers):
            yield from self._reader(state, number, reader)
        for number, process in enumerate(state.processes):
            yield from self._process(state, number, process)
        yield from self._redis(state)

    # -- writing: commit ─► invalidate ─► mark delivered

    def _writer(self, state: State, number: int, at: str, version: int) -> Iterator[Step]:
        def then(changed: State, at: str, version: int) -> State:
            writers = (*changed.writers[:number], (at, version), *changed.writers[number + 1 :])
            return changed._replace(writers=writers)

        rules = self._rules
        if at in ("committed", "half", "invalidated") and state.left[CRASH]:
            yield f"writer {number} dies", then(_use_fault(state, CRASH), "dead", version)
        if at == "idle":
            version = state.committed + 1
            changed = state._replace(committed=version)
            if rules.outbox_entry_in_the_transaction:
                changed = changed._replace(pending=(*state.pending, version))
            yield f"writer {number} commits {version}", then(changed, "committed", version)
        elif at == "committed":
            if rules.delivered_after_invalidation:
                label, changed = self._first_half(state, version)
                yield f"writer {number} {label}", then(changed, "half", version)
            else:
                yield f"writer {number} marks delivered", then(_mark_delivered(state, version), "half", version)
        elif at == "half":
            if rules.delivered_after_invalidation:
                yield f"writer {number} announces", then(self._second_half(state, version), "invalidated", version)
            else:
                changed = self._second_half(self._delete(state), version)
                yield f"writer {number} invalidates", then(changed, "done", version)
        elif at == "invalidated":
            yield f"writer {number} marks delivered", then(_mark_delivered(state, version), "done", version)

    def _relay(self, state: State) -> Iterator[Step]:
        """Another process delivers the pending invalidation of a writer that died."""
        at, version = state.relay
        if at == "idle" and state.pending and any(writer == ("dead", state.pending[0]) for writer in state.writers):
            label, changed = self._first_half(state, state.pending[0])
            yield f"a relay {label}", changed._replace(relay=("half", state.pending[0]))
        elif at == "half":
            yield "a relay announces", self._second_half(state, version)._replace(relay=("invalidated", version))
        elif at == "invalidated":
            yield "a relay marks delivered", _mark_delivered(state, version)._replace(relay=("idle", 0))

    def _first_half(self, state: State, version: int) -> Step:
        """The DEL of the pipeline with DEL and PUBLISH; commands of others may come between the two."""
        if self._rules.announced_after_delete:
            return "deletes", self._delete(state)
        return "announces first", self._announce(state, version)

    def _second_half(self, state: State, version: int) -> State:
        state = self._announce(state, version) if self._rules.announced_after_delete else self._delete(state)
        return state._replace(acknowledged=max(state.acknowledged, version))

    def _delete(self, state: State) -> State:
        lease = NONE if self._rules.invalidate_removes_lease else state.lease
        return state._replace(answer=(NONE, 0), lease=lease)

    def _announce(self, state: State, version: int) -> State:
        if not self._setting.local_cache:
            return state
        return state._replace(
            processes=tuple(
                process._replace(arriving=(*process.arriving, version))
                if process.subscribed
                else process._replace(received=max(process.received, version))  # the promise holds without it too
                for process in state.processes
            )
        )

    # -- reading: local entry ─► get ─► get or lease ─► load ─► fill; beside an answer that cannot be used also ─► lease

    def _reader(self, state: State, number: int, reader: Reader) -> Iterator[Step]:
        rules = self._rules
        here = 0 if number in readers_by_process(self._setting)[0] else 1
        process = state.processes[here]
        version_min = max(process.floor if rules.floors else 0, reader.seen if rules.version_from_etag else 0)

        def then(changed: State, **now: object) -> State:
            readers = (*changed.readers[:number], reader._replace(**now), *changed.readers[number + 1 :])  # type: ignore[arg-type]
            return changed._replace(readers=readers)

        def in_process(changed: State, **now: object) -> State:
            processes = list(changed.processes)
            processes[here] = processes[here]._replace(**now)  # type: ignore[arg-type]
            return changed._replace(processes=tuple(processes))

        def answer(changed: State, version: int) -> State:
            """The answer goes out; it is stored locally if its guard is still valid."""
            if self._setting.local_cache:
                now = changed.processes[here]
                local = NONE if now.local < version else now.local
                if version >= now.local and now.subscribed and (reader.guard or not rules.guard_before_read):
                    local = version
                changed = in_process(changed, local=local)
            broken = broken_promise(ReadStart(reader.promised, reader.seen), version)
            return then(changed, at="done", version=version, promised=0, guard=False, run=0)._replace(broken=broken)

        def got(changed: State, version: int) -> State:
            """The reader has its answer. A step of its own only where there is a local cache that others read."""
            if self._setting.local_cache:
                return then(changed, at="got", version=version)
            return answer(changed, version)

        def lease_step(command: str) -> Step:
            if state.lease:
                return f"{name} {command}: held by another", then(state, at="waits")
            return f"{name} {command}", then(state._replace(lease=number + 1), at="leased", run=state.run)

        name = f"reader {number}"
        if reader.at not in ("idle", "done", "dead") and state.left[CRASH]:
            yield f"{name} dies", then(_use_fault(state, CRASH), at="dead", version=0, promised=0, guard=False)
        if reader.at == "idle":
            before = state.readers[1]
            if number == 2 and before.at != "done":
                return  # the same client: one read after the other
            seen = before.version if number == 2 else 0
            promised = process.received if self._setting.local_cache else state.acknowledged
            version_min = max(process.floor if rules.floors else 0, seen if rules.version_from_etag else 0)
            valid = process.local and (process.subscribed or not rules.lost_subscription_clears_local)
            if self._setting.local_cache and valid and process.local >= version_min:
                broken = broken_promise(ReadStart(promised, seen), process.local)
                answered = then(state, at="done", version=process.local)._replace(broken=broken)
                yield f"{name} local entry {process.local}", answered
            else:
                guard = self._setting.local_cache and process.subscribed
                yield f"{name} begins", then(state, at="begun", promised=promised, seen=seen, guard=guard)
        elif reader.at in ("begun", "missed", "waits"):
            version, run = state.answer
            if version >= max(version_min, 1) and (run == state.run or not rules.run_is_compared):
                yield f"{name} get {version}", got(state, version)
            elif reader.at == "begun":
                yield f"{name} get: miss", then(state, at="missed")
            elif reader.at == "missed" and version:
                yield f"{name} get or lease: an answer that cannot be used", then(state, at="acquires")
            elif reader.at == "missed":
                yield lease_step("get or lease")
            elif not state.lease:
                yield f"{name} stops waiting", then(state, at="past")
            if state.left[CUT]:
                yield f"{name} get: cut off", then(_use_fault(state, CUT), at="past")
        elif reader.at == "got":
            yield f"{name} answers {reader.version}", answer(state, reader.version)
        elif reader.at == "acquires":
            yield lease_step("lease")
        elif reader.at == "leased":
            yield f"{name} load {state.committed}", then(state, at="loaded", version=state.committed)
        elif reader.at == "loaded":
            held = state.lease == number + 1
            changed = state
            if held or not rules.fill_checks_lease:
                run = reader.run if rules.run_is_of_the_lease else state.run
                changed = changed._replace(answer=(reader.version, run))
                changed = changed._replace(lease=NONE if held else changed.lease)
                if process.floor <= reader.version:
                    changed = in_process(changed, floor=0)
            else:
                changed = in_process(changed, floor=max(process.floor, reader.version))
            yield f"{name} fill {reader.version}", got(changed, reader.version)
        elif reader.at == "past":
            changed = in_process(state, floor=max(process.floor, state.committed))
            yield f"{name} load {state.committed} past Redis", got(changed, state.committed)

    # -- what happens to a process, and to Redis

    def _process(self, state: State, number: int, process: Process) -> Iterator[Step]:
        if not self._setting.local_cache:
            return

        def now(changed: State, drop_guards: bool, **fields: object) -> State:
            processes = list(changed.processes)
            processes[number] = process._replace(**fields)  # type: ignore[arg-type]
            changed = changed._replace(processes=tuple(processes))
            if drop_guards:
                mine = readers_by_process(self._setting)[number]
                readers = [r._replace(guard=False) if i in mine else r for i, r in enumerate(changed.readers)]
                changed = changed._replace(readers=tuple(readers))
            return changed

        if process.arriving:
            received = max(process.received, process.arriving[0])
            changed = now(state, True, arriving=process.arriving[1:], local=NONE, received=received)
            yield f"process {number} receives an announcement", changed
        if process.subscribed and state.left[LOSS]:
            received = max(process.received, *process.arriving, 0)
            clears = self._rules.lost_subscription_clears_local
            lost = now(
                _use_fault(state, LOSS),
                clears,
                arriving=(),
                local=NONE if clears else process.local,
                received=received,
                subscribed=False,
            )
            yield f"process {number} loses its subscription", lost
        if not process.subscribed:
            yield f"process {number} subscribes", now(state, True, subscribed=True, local=NONE)

    def _redis(self, state: State) -> Iterator[Step]:
        if state.lease and state.left[EXPIRY]:
            yield "the lease expires", _use_fault(state, EXPIRY)._replace(lease=NONE)
        if state.left[RESTART]:
            if state.saved is None:
                yield "Redis saves", state._replace(saved=(state.answer, state.lease))
            else:
                answer, lease = state.saved
                again = _use_fault(state, RESTART)._replace(answer=answer, lease=lease, run=state.run + 1, saved=None)
                yield "Redis returns with what it saved", again


def broken_at_rest(state: State, rules: Rules) -> str | None:
    """What is wrong when nothing more can happen; None if nothing is."""
    version, run = state.answer
    valid = version and (run == state.run or not rules.run_is_compared)
    if valid and version != state.committed:
        return f"the cache holds {version} for good, the database {state.committed}"
    if state.pending:
        return f"pending for good: {state.pending}"
    if state.lease and not state.run and state.readers[state.lease - 1].at == "done":
        return "a lease is held by a reader that is done"  # a lease that Redis brought back expires
    return None


@dataclass(frozen=True)
class Explored:
    """How many states there are, and the first history that breaks a promise, its steps in order."""

    states: int
    broken: str | None
    history: tuple[str, ...]


def reduced(state: State, setting: Setting) -> State:
    """The state without what no later step reads: of states that differ in nothing else, one is explored.

    What a reader knows ends with its answer, except for what the second reader has seen, until the third begins. What a
    process knows ends with its last reader, and its local entry with the last reader that may still begin. Two writers
    are the same but for their names, which a history may so exchange.
    """
    readers = list(state.readers)
    third_never_begins = readers[1].at == "dead"
    to_begin = [r.at == "idle" and not (number == 2 and third_never_begins) for number, r in enumerate(readers)]
    over = [not to_begin[number] and reader.at in ("idle", "done", "dead") for number, reader in enumerate(readers)]
    for number, reader in enumerate(state.readers):
        if over[number]:
            seen = reader.version if number == 1 and reader.at == "done" and to_begin[2] else NONE
            readers[number] = Reader(at=reader.at, version=seen)
    processes = list(state.processes)
    for here, mine in enumerate(readers_by_process(setting)):
        if all(over[number] for number in mine):
            processes[here] = Process()
        elif setting.local_cache and not any(to_begin[number] for number in mine):
            processes[here] = Process(floor=processes[here].floor)
            for number in mine:
                readers[number] = readers[number]._replace(guard=False)
    return state._replace(
        readers=tuple(readers),
        processes=tuple(processes),
        acknowledged=state.acknowledged if any(to_begin) and not setting.local_cache else 0,
        writers=tuple(
            sorted(
                (at, 0 if at == "done" or (at == "dead" and version not in state.pending) else version)
                for at, version in state.writers
            )
        ),
    )


def readers_by_process(setting: Setting) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Which readers read at the first process, and which at the second."""
    return ((1,), (0, 2)) if setting.other_process else ((1, 2), (0,))


def explore(rules: Rules, setting: Setting, *, reduce: bool = True) -> Explored:
    """Explore every interleaving, depth first, each state once; with `reduce`, each `reduced` state once."""
    model = Model(rules, setting)
    start = first_state(setting)
    reached_by: dict[State, Step | None] = {start: None}
    unexplored: list[State] = [start]
    while unexplored:
        state = unexplored.pop()
        broken = state.broken
        at_rest = True
        if broken is None:
            for label, following in model.steps(state):
                at_rest = False
                if reduce:
                    following = reduced(following, setting)
                if following not in reached_by:
                    reached_by[following] = (label, state)
                    unexplored.append(following)
            if at_rest:
                broken = broken_at_rest(state, rules)
        if broken is not None:
            return Explored(len(reached_by), broken, _history(reached_by, state))
    return Explored(len(reached_by), None, ())


def _history(reached_by: dict[State, Step | None], state: State) -> tuple[str, ...]:
    labels = []
    while (step := reached_by[state]) is not None:
        label, state = step
        labels.append(label)
    return tuple(reversed(labels))


def _use_fault(state: State, fault: int) -> State:
    left = list(state.left)
    left[fault] -= 1
    return state._replace(left=(left[0], left[1], left[2], left[3], left[4]))


def _mark_delivered(state: State, version: int) -> State:
    return state._replace(pending=tuple(each for each in state.pending if each != version))
