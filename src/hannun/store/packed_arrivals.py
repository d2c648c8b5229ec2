"""How the ledger of participants stores minute and channel: in one integer where they fit, else in two columns.

    came = (minutes since FIRST_MINUTE) * CHANNELS + channel number

PostgreSQL rounds a row up to a multiple of 8 bytes, so a second integer would cost 8 bytes a row. Nothing is limited by
this: a row that does not fit is only larger. The view `hannun.arrivals` reads both forms.
"""

import numpy as np

from hannun.domain.registrations import Numbers

FIRST_MINUTE = 23_667_840
"""2015-01-01T00:00Z in minutes since 1970; earlier registrations are rejected."""
LAST_MINUTE = FIRST_MINUTE + 2**25 - 1
"""In October 2078."""
CHANNELS = 64
"""How many channel numbers fit, from 0 (no channel) on."""


def packed(minute: int, channel_no: int) -> int | None:
    """Minute and channel number in one integer; None where they do not fit."""
    if FIRST_MINUTE <= minute <= LAST_MINUTE and 0 <= channel_no < CHANNELS:
        return (minute - FIRST_MINUTE) * CHANNELS + channel_no
    return None


def packed_all(minutes: Numbers, channel_nos: Numbers) -> Numbers:
    """`packed` of each; -1 where they do not fit."""
    fits = (minutes >= FIRST_MINUTE) & (minutes <= LAST_MINUTE) & (channel_nos >= 0) & (channel_nos < CHANNELS)
    return np.where(fits, (minutes - FIRST_MINUTE) * CHANNELS + channel_nos, -1)
