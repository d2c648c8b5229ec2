"""The key ring of the settings, and how connections read and write amounts with it."""

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
