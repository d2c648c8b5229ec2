"""The check of encrypted amounts: in which form they are, and whether this process has the keys."""

from collections.abc import Iterator
from typing import Final

from hannun.domain.findings import Finding, Severity
from hannun.flows.doctor.examined import Examined
from hannun.store import amount_state, amount_sweep
from hannun.store.amounts import amounts_of

MINUTE_S: Final = 60


def amounts(examined: Examined) -> Iterator[Finding]:
    """Whether a conversion was interrupted, a key is missing, or a key is to be replaced. Plain amounts are
    no finding."""
    needed, own = amount_state.key_ids(examined.conn), amounts_of(examined.conn).key_ids
    missing = [key_id for key_id in needed if key_id not in own]
    yield from map(_missing, missing)
    last = amount_sweep.last_sweep(examined.conn)
    if last is not None and not last.finished and last.silent_s > amount_sweep.SILENT_S_MAX:
        yield _interrupted(last)
    elif needed and not missing:
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
        [f"hannun amounts {last.operation}"],
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
        "encrypt them with the active key; the others may leave the key ring then",
        {"keys": ", ".join(needed), "active": active},
        ["hannun amounts rotate"],
    )
