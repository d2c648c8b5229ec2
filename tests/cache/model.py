"""A model of the cache's protocol, small enough to walk through all that can happen in it.

One key; two writers, each with one commit; three readers in two processes, the third of which asks after the second, as
the same client. Each step is one command of `hannun.cache` or one transaction, named like it; between any two of them
anything else may happen, and a fault as long as there are some left: a process dies, a command does not reach Redis, a
lease runs out, a subscription is cut, Redis comes back with what it had saved.

`Rules` are what the protocol does. Each can be broken, and then a history must be found that breaks a promise. (That a
fill goes over nothing newer is not among them: under the lease there is nothing newer. It is a second line.)
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from history import Asked, broken

NONE = 0


@dataclass(frozen=True)
class Rules:
    """What the code does; one set to False is a mistake."""

    invalidate_removes_lease: bool = True
    fill_checks_lease: bool = True
    run_is_compared: bool = True
    run_is_of_the_lease: bool = True
    debt_in_the_transaction: bool = True
    settle_after_invalidate: bool = True
    floors: bool = True
    seen_by_etag: bool = True
    guard_before_read: bool = True
    lost_drops_copies: bool = True
    announced_after_delete: bool = True


@dataclass(frozen=True)
class Setting:
    """What there is beside writers and readers: how many faults of a kind, copies or none, where the client asks."""

    crashes: int = 1
    cuts: int = 0
    expiries: int = 0
    losses: int = 0
    restarts: int = 0
    copies: bool = False
    other_process: bool = False
    writers: int = 2


class Reader(NamedTuple):
    at: str = "idle"
    promised: int = 0
    seen: int = 0
    version: int = 0
    guard: bool = False
    run: int = 0


class Process(NamedTuple):
    """A process that answers: its floor, its copy, the announcements on their way to it, what it has heard."""

    floor: int = 0
    copy: int = NONE
    pending: tuple[int, ...] = ()
    listens: bool = True
    heard: int = 0


class State(NamedTuple):
    committed: int = 1
    answer: tuple[int, int] = (NONE, 0)  # version, run
    lease: int = NONE  # the reader's number + 1
    run: int = 0
    saved: tuple[tuple[int, int], int] | None = None
    acknowledged: int = 1
    debts: tuple[int, ...] = ()
    payer: tuple[str, int] = ("idle", 0)
    writers: tuple[tuple[str, int], ...] = ()
    readers: tuple[Reader, ...] = (Reader(),) * 3
    processes: tuple[Process, ...] = (Process(),) * 2
    left: tuple[int, int, int, int, int] = (0, 0, 0, 0, 0)  # crashes, cuts, expiries, losses, restarts
    broke: str | None = None


Step = tuple[str, State]
CRASH, CUT, EXPIRY, LOSS, RESTART = range(5)


def first(setting: Setting) -> State:
    left = (setting.crashes, setting.cuts, setting.expiries, setting.losses, setting.restarts)
    # Something is kept already, as in a service that runs.
    return State(answer=(1, 0), writers=(("idle", 0),) * setting.writers, left=left)


class Model:
    """The steps that can come next."""

    def __init__(self, rules: Rules, setting: Setting) -> None:
        self._rules = rules
        self._setting = setting

    def steps(self, state: State) -> Iterator[Step]:
        for number, (at, version) in enumerate(state.writers):
            yield from self._writer(state, number, at, version)
        yield from self._payer(state)
        for number, reader in enumerate(state.readers):
            yield from self._reader(state, number, reader)
        for number, process in enumerate(state.processes):
            yield from self._process(state, number, process)
        yield from self._redis(state)

    # -- writing: commit ─► invalidate ─► settle

    def _writer(self, state: State, number: int, at: str, version: int) -> Iterator[Step]:
        def then(changed: State, at: str, version: int) -> State:
            writers = (*changed.writers[:number], (at, version), *changed.writers[number + 1 :])
            return changed._replace(writers=writers)

        rules = self._rules
        if at in ("committed", "half", "invalidated") and state.left[CRASH]:
            yield f"writer {number} dies", then(_spent(state, CRASH), "dead", version)
        if at == "idle":
            version = state.committed + 1
            changed = state._replace(committed=version)
            if rules.debt_in_the_transaction:
                changed = changed._replace(debts=(*state.debts, version))
            yield f"writer {number} commits {version}", then(changed, "committed", version)
        elif at == "committed":
            if rules.settle_after_invalidate:
                yield from (
                    (f"writer {number} {what}", then(s, a, version)) for what, s, a in self._tell(state, version)
                )
            else:
                yield f"writer {number} settles", then(_without_debt(state, version), "half", version)
        elif at == "half":
            if rules.settle_after_invalidate:
                yield f"writer {number} announces", then(self._told(state, version), "invalidated", version)
            else:
                yield f"writer {number} invalidates", then(self._told(self._deleted(state), version), "done", version)
        elif at == "invalidated":
            yield f"writer {number} settles", then(_without_debt(state, version), "done", version)

    def _payer(self, state: State) -> Iterator[Step]:
        """Whoever finds a debt pays it; it may find one that its writer is about to pay, too."""
        at, version = state.payer
        if at == "idle" and state.debts and any(writer == ("dead", state.debts[0]) for writer in state.writers):
            for what, changed, then in self._tell(state, state.debts[0]):
                yield f"a payer {what}", changed._replace(payer=(then, state.debts[0]))
        elif at == "half":
            yield "a payer announces", self._told(state, version)._replace(payer=("invalidated", version))
        elif at == "invalidated":
            yield "a payer settles", _without_debt(state, version)._replace(payer=("idle", 0))

    def _tell(self, state: State, version: int) -> Iterator[tuple[str, State, str]]:
        """DEL and PUBLISH go in one pipeline; others' commands may come between the two."""
        if self._rules.announced_after_delete:
            yield "deletes", self._deleted(state), "half"
        else:
            announced = self._announced(state, version)
            yield "announces first", announced, "half"

    def _deleted(self, state: State) -> State:
        lease = NONE if self._rules.invalidate_removes_lease else state.lease
        return state._replace(answer=(NONE, 0), lease=lease)

    def _told(self, state: State, version: int) -> State:
        state = self._announced(state, version) if self._rules.announced_after_delete else self._deleted(state)
        return state._replace(acknowledged=max(state.acknowledged, version))

    def _announced(self, state: State, version: int) -> State:
        if not self._setting.copies:
            return state
        return state._replace(
            processes=tuple(
                process._replace(pending=(*process.pending, version))
                if process.listens
                else process._replace(heard=max(process.heard, version))  # it must not rely on what it cannot hear
                for process in state.processes
            )
        )

    # -- reading: copy ─► get ─► lease ─► load ─► fill

    def _reader(self, state: State, number: int, reader: Reader) -> Iterator[Step]:
        rules = self._rules
        here = 0 if number in readers_of(self._setting)[0] else 1
        process = state.processes[here]
        least = max(process.floor if rules.floors else 0, reader.seen if rules.seen_by_etag else 0)

        def then(changed: State, **now: object) -> State:
            readers = (*changed.readers[:number], reader._replace(**now), *changed.readers[number + 1 :])  # type: ignore[arg-type]
            return changed._replace(readers=readers)

        def in_process(changed: State, **now: object) -> State:
            processes = list(changed.processes)
            processes[here] = processes[here]._replace(**now)  # type: ignore[arg-type]
            return changed._replace(processes=tuple(processes))

        def answered(changed: State, version: int) -> State:
            """The answer goes out; a copy stays, if its guard does."""
            if self._setting.copies:
                kept = changed.processes[here]
                copy = NONE if kept.copy < version else kept.copy
                if version >= kept.copy and kept.listens and (reader.guard or not rules.guard_before_read):
                    copy = version
                changed = in_process(changed, copy=copy)
            wrong = broken(Asked(reader.promised, reader.seen), version)
            return then(changed, at="done", version=version, promised=0, guard=False, run=0)._replace(broke=wrong)

        def got(changed: State, version: int) -> State:
            """It has its answer. What it does with it matters to others only where there are copies."""
            if self._setting.copies:
                return then(changed, at="got", version=version)
            return answered(changed, version)

        name = f"reader {number}"
        if reader.at not in ("idle", "done", "dead") and state.left[CRASH]:
            yield f"{name} dies", then(_spent(state, CRASH), at="dead", version=0, promised=0, guard=False)
        if reader.at == "idle":
            before = state.readers[1]
            if number == 2 and before.at != "done":
                return  # the same client: one question after the other
            seen = before.version if number == 2 else 0
            promised = process.heard if self._setting.copies else state.acknowledged
            least = max(process.floor if rules.floors else 0, seen if rules.seen_by_etag else 0)
            believed = process.copy and (process.listens or not rules.lost_drops_copies)
            if self._setting.copies and believed and process.copy >= least:
                wrong = broken(Asked(promised, seen), process.copy)
                yield f"{name} copy {process.copy}", then(state, at="done", version=process.copy)._replace(broke=wrong)
            else:
                guard = self._setting.copies and process.listens
                yield f"{name} asks", then(state, at="asks", promised=promised, seen=seen, guard=guard)
        elif reader.at in ("asks", "waits"):
            version, run = state.answer
            if version >= max(least, 1) and (run == state.run or not rules.run_is_compared):
                yield f"{name} get {version}", got(state, version)
            elif reader.at == "asks":
                yield f"{name} get: miss", then(state, at="missed")
            elif not state.lease:
                yield f"{name} waits no more", then(state, at="past")
            if state.left[CUT]:
                yield f"{name} get: cut off", then(_spent(state, CUT), at="past")
        elif reader.at == "got":
            yield f"{name} answers {reader.version}", answered(state, reader.version)
        elif reader.at == "missed":
            if state.lease:
                yield f"{name} lease: taken", then(state, at="waits")
            else:
                yield f"{name} lease", then(state._replace(lease=number + 1), at="leased", run=state.run)
        elif reader.at == "leased":
            yield f"{name} load {state.committed}", then(state, at="loaded", version=state.committed)
        elif reader.at == "loaded":
            stands = state.lease == number + 1
            changed = state
            if stands or not rules.fill_checks_lease:
                stamp = reader.run if rules.run_is_of_the_lease else state.run
                changed = changed._replace(answer=(reader.version, stamp))
                changed = changed._replace(lease=NONE if stands else changed.lease)
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
        if not self._setting.copies:
            return

        def now(changed: State, drop_guards: bool, **fields: object) -> State:
            processes = list(changed.processes)
            processes[number] = process._replace(**fields)  # type: ignore[arg-type]
            changed = changed._replace(processes=tuple(processes))
            if drop_guards:
                mine = readers_of(self._setting)[number]
                readers = [r._replace(guard=False) if i in mine else r for i, r in enumerate(changed.readers)]
                changed = changed._replace(readers=tuple(readers))
            return changed

        if process.pending:
            heard = max(process.heard, process.pending[0])
            yield f"process {number} hears", now(state, True, pending=process.pending[1:], copy=NONE, heard=heard)
        if process.listens and state.left[LOSS]:
            heard = max(process.heard, *process.pending, 0)
            copy = NONE if self._rules.lost_drops_copies else process.copy
            lost = now(
                _spent(state, LOSS), self._rules.lost_drops_copies, pending=(), copy=copy, heard=heard, listens=False
            )
            yield f"process {number} is cut off from announcements", lost
        if not process.listens:
            yield f"process {number} subscribes", now(state, True, listens=True, copy=NONE)

    def _redis(self, state: State) -> Iterator[Step]:
        if state.lease and state.left[EXPIRY]:
            yield "the lease runs out", _spent(state, EXPIRY)._replace(lease=NONE)
        if state.left[RESTART]:
            if state.saved is None:
                yield "Redis saves", state._replace(saved=(state.answer, state.lease))
            else:
                answer, lease = state.saved
                again = _spent(state, RESTART)._replace(answer=answer, lease=lease, run=state.run + 1, saved=None)
                yield "Redis comes back with what it saved", again


def at_rest(state: State, rules: Rules) -> str | None:
    """What must hold when nothing more can happen."""
    version, run = state.answer
    believed = version and (run == state.run or not rules.run_is_compared)
    if believed and version != state.committed:
        return f"the cache says {version} for good, the database {state.committed}"
    if state.debts:
        return f"owed for good: {state.debts}"
    if state.lease and not state.run and state.readers[state.lease - 1].at == "done":
        return "a lease is held by a reader that is done"  # one that Redis brought back runs out
    return None


@dataclass(frozen=True)
class Explored:
    """How many states there are, and the first history that breaks a promise, its steps in order."""

    states: int
    broke: str | None
    history: tuple[str, ...]


def forgotten(state: State, setting: Setting) -> State:
    """The state without what nothing that can still happen looks at: of those that differ in nothing else one is
    walked.

    What a reader knows ends with its answer (but for what the second one has seen, until the third asks), what a
    process knows with its last reader, and its copy with the last that may still ask for one. Two writers are the same
    but for their names, which a history may so exchange.
    """
    readers = list(state.readers)
    third_never_asks = readers[1].at == "dead"
    asking = [reader.at == "idle" and not (number == 2 and third_never_asks) for number, reader in enumerate(readers)]
    over = [not asking[number] and reader.at in ("idle", "done", "dead") for number, reader in enumerate(readers)]
    for number, reader in enumerate(state.readers):
        if over[number]:
            told = reader.version if number == 1 and reader.at == "done" and asking[2] else NONE
            readers[number] = Reader(at=reader.at, version=told)
    processes = list(state.processes)
    for here, mine in enumerate(readers_of(setting)):
        if all(over[number] for number in mine):
            processes[here] = Process()
        elif setting.copies and not any(asking[number] for number in mine):
            processes[here] = Process(floor=processes[here].floor)
            for number in mine:
                readers[number] = readers[number]._replace(guard=False)
    return state._replace(
        readers=tuple(readers),
        processes=tuple(processes),
        acknowledged=state.acknowledged if any(asking) and not setting.copies else 0,
        writers=tuple(
            sorted(
                (at, 0 if at == "done" or (at == "dead" and version not in state.debts) else version)
                for at, version in state.writers
            )
        ),
    )


def readers_of(setting: Setting) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Who asks at which process."""
    return ((1,), (0, 2)) if setting.other_process else ((1, 2), (0,))


def explore(rules: Rules, setting: Setting, *, forgets: bool = True) -> Explored:
    """Walk through every interleaving, depth first, each state once; of states that only differ in what nobody looks at
    any more one, where it `forgets`."""
    model = Model(rules, setting)
    start = first(setting)
    came_by: dict[State, Step | None] = {start: None}
    ways: list[State] = [start]
    while ways:
        state = ways.pop()
        wrong = state.broke
        ended = True
        if wrong is None:
            for label, following in model.steps(state):
                ended = False
                if forgets:
                    following = forgotten(following, setting)
                if following not in came_by:
                    came_by[following] = (label, state)
                    ways.append(following)
            if ended:
                wrong = at_rest(state, rules)
        if wrong is not None:
            return Explored(len(came_by), wrong, _history(came_by, state))
    return Explored(len(came_by), None, ())


def _history(came_by: dict[State, Step | None], state: State) -> tuple[str, ...]:
    labels = []
    while (step := came_by[state]) is not None:
        label, state = step
        labels.append(label)
    return tuple(reversed(labels))


def _spent(state: State, fault: int) -> State:
    left = list(state.left)
    left[fault] -= 1
    return state._replace(left=(left[0], left[1], left[2], left[3], left[4]))


def _without_debt(state: State, version: int) -> State:
    return state._replace(debts=tuple(debt for debt in state.debts if debt != version))
