"""What `hannun privacy` needs."""

from dataclasses import dataclass

from hannun.counting import outbox_relay
from hannun.flows import forgetting
from hannun.flows.forgetting import Person
from hannun.key_ring import KeyRing, open_key_ring
from hannun.processes.commands.database import open_connection
from hannun.processes.commands.replay import shadow_of
from hannun.processes.writing import open_writing
from hannun.settings import Settings
from hannun.store import outbox
from hannun.store.forgotten import ForgottenCounts
from hannun.store.shadow import Shadow

APPLICATION = "hannun-privacy"


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was forgotten in the live database.

    `cached`: Redis has not acknowledged yet that all answers are deleted. `kept_in` are databases that swaps have left.
    """

    counts: ForgottenCounts
    in_shadow: bool
    cached: bool
    kept_in: list[str]


def forget(settings: Settings, person: Person, by: str, reason: str) -> Forgotten:
    """Forget a person in the live database, in Redis, and in the shadow of a replay where there is one.

    Raises:
        OperatorError: no key ring is set, or there is no such event.
        Transient: PostgreSQL or Redis cannot be reached now; the same command finishes it.
    """
    ring = open_key_ring(settings.needed("key_ring_file"))
    with open_writing(settings, APPLICATION) as writing:
        with open_connection(settings, APPLICATION) as conn:
            conn.rollback()  # ends the transaction of the version check
            counts = forgetting.forget(conn, ring, person, by, reason)
        database = writing.database()
        outbox_relay.deliver_pending(database, writing.invalidator, older_than_s=0)
        with database.transaction() as conn:
            cached = bool(outbox.pending(conn, 0))
        shadow = shadow_of(settings)
        kept_in = [name for name in (shadow.before, f"{shadow.live}_before_restore") if shadow.exists(name)]
        return Forgotten(counts, _forget_in_shadow(shadow, ring, person), cached, kept_in)


def _forget_in_shadow(shadow: Shadow, ring: KeyRing, person: Person) -> bool:
    """Forget a person in the shadow of a replay, after the live database: one that is created later copies what is
    forgotten there. Returns whether there is a shadow."""
    if shadow.find(shadow.name) is None:
        return False
    shadow.check_complete()
    with shadow.as_owner(shadow.name) as conn:
        forgetting.forget_in(conn, ring, person)
    return True
