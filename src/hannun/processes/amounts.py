"""The key ring of the settings, and how connections read and write amounts with it."""

from hannun.errors import OperatorError
from hannun.key_ring import KeyRing, open_key_ring
from hannun.settings import Settings
from hannun.store.amounts import Amounts


def optional_key_ring(settings: Settings) -> KeyRing | None:
    """The key ring; None where no setting names one.

    Raises:
        OperatorError: its file cannot be read or used.
    """
    return open_key_ring(settings.key_ring_file) if settings.key_ring_file else None


def amounts(settings: Settings) -> Amounts:
    """How this process reads and writes amounts. Raises as `optional_key_ring`."""
    return Amounts(optional_key_ring(settings))


def examined_amounts(settings: Settings) -> Amounts:
    """The same for a process that examines the system: where the key ring cannot be used, that is a finding."""
    try:
        return amounts(settings)
    except OperatorError as unusable:
        return Amounts(unusable=unusable)
