"""Redis: cached answers, leases, invalidations and announcements. An outage is a miss, never an error of the caller."""

from hannun.cache.address import RedisAddress as RedisAddress
from hannun.cache.answer_cache import AnswerCache as AnswerCache
from hannun.cache.invalidator import Invalidator as Invalidator
