"""The checks of the key ring and of encrypted amounts: their form, and whether this process has the keys."""

from collections.abc import Iterator
from typing import Final

from hannun.domain.findings import Finding, Severity
from hannun.errors import OperatorError
from hannun.flows.doctor.examined import Examined, Skipped
from hannun.store import amount_state, amount_sweep, forgotten
from hannun.store.amounts import amounts_of

MINUTE_S: Final = 60
_COMMANDS: Final = {
    "encrypt": "hannun amounts encrypt",
    "decrypt": "hannun amounts decrypt",
    "rotate": "hannun amounts rotate",
}


def key_ring(examined: Examined) -> Iterator[Finding]:
    """Whether there is a key ring where one is needed, it can be used, and it holds every key that the data needs."""
    of_process = amounts_of(examined.conn)
    if of_process.trouble is not None:
        yield _unusable(of_process.trouble)
    if of_process.unusable:
        return
    needed = forgotten.key_counts(examined.conn).keys()
    if not of_process.key_ids:
        yield from _without_ring(bool(needed), bool(amount_state.key_ids(examined.conn)))
        return
    yield from map(_missing_digests, sorted(needed - set(of_process.key_ids)))
    yield from map(_missing, amount_state.missing_keys(examined.conn))


def _without_ring(ids_are_forgotten: bool, amounts_are_encrypted: bool) -> Iterator[Finding]:
    """What fails without a key ring: counting in both cases, and answers where amounts are encrypted."""
    if amounts_are_encrypted or ids_are_forgotten:
        yield Finding(
            Severity.CRITICAL,
            "the key ring",
            "amounts are encrypted, and this process has no key ring: they can be neither counted nor answered"
            if amounts_are_encrypted
            else "ids are forgotten, and this process has no key ring: nothing is counted",
            "give every process the ring: HANNUN_KEY_RING_FILE names its file. What waits is counted then",
        )


def _unusable(trouble: OperatorError) -> Finding:
    return Finding(
        Severity.CRITICAL,
        "the key ring",
        "the key ring cannot be used: {reason}. Processes that run go on with the keys of before; none starts",
        "correct the file: {hint}",
        {"reason": str(trouble.args[0]), "hint": trouble.hint},
    )


def _missing_digests(key_id: str) -> Finding:
    return Finding(
        Severity.CRITICAL,
        f"the key {key_id}",
        "ids were forgotten with the key {key}, which the key ring of this process lacks: nothing is counted",
        "put the key back into the file that HANNUN_KEY_RING_FILE names, for every process: without it forgotten ids "
        "are not recognized",
        {"key": key_id},
    )


def amounts(examined: Examined) -> Iterator[Finding]:
    """Whether a conversion was interrupted, or a key is to be replaced. Plain amounts are no finding; a missing key
    is one of the check key-ring."""
    if amounts_of(examined.conn).unusable:
        raise Skipped("the key ring cannot be used: see the check key-ring")
    needed, own = amount_state.key_ids(examined.conn), amounts_of(examined.conn).key_ids
    if needed and not own:
        raise Skipped("there is no key ring: see the check key-ring")
    last = amount_sweep.last_sweep(examined.conn)
    if last is not None and not last.finished and last.silent_s > amount_sweep.SILENT_S_MAX:
        yield _interrupted(last)
    elif needed and not amount_state.missing_keys(examined.conn):
        yield _encrypted(needed, own[0])


def _missing(key_id: str) -> Finding:
    return Finding(
        Severity.CRITICAL,
        f"the key {key_id}",
        "amounts are encrypted with the key {key}, which the key ring of this process lacks",
        "put the key into the file that HANNUN_KEY_RING_FILE names, for every process: without it no amount can be "
        "counted or answered",
        {"key": key_id},
    )


def _interrupted(last: amount_sweep.LastSweep) -> Finding:
    return Finding(
        Severity.WARNING,
        "amounts",
        "the conversion of amounts ({operation}, by {by}) stopped {minutes} minutes ago: they are in both forms",
        "run it again: it goes on where it stopped",
        {"operation": last.operation, "by": last.run_by, "minutes": round(last.silent_s / MINUTE_S)},
        [_COMMANDS[last.operation]],
    )


def _encrypted(needed: list[str], active: str) -> Finding:
    older = [key_id for key_id in needed if key_id != active]
    if not older:
        return Finding(
            Severity.NOTICE,
            "amounts",
            "amounts are encrypted with the key {key}; the columns for other teams hold 0.00",
            "nothing: this is how it was asked for",
            {"key": active},
        )
    return Finding(
        Severity.NOTICE,
        "amounts",
        "amounts are encrypted with {keys}, and the active key is {active}",
        "encrypt them with the active key; then another may leave the key ring where no id was forgotten with it",
        {"keys": ", ".join(needed), "active": active},
        ["hannun amounts rotate"],
    )
