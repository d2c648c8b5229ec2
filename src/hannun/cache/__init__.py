"""Redis: cached answers, leases, invalidations and announcements. An outage is a miss, never an error of the caller."""

from hannun.imports import as_if_missing

with as_if_missing("opentelemetry"):  # for metrics of the client, which we do not use; its SDK takes 50 ms
    import redis.asyncio  # noqa: F401

from hannun.cache.address import RedisAddress as RedisAddress
from hannun.cache.answer_cache import AnswerCache as AnswerCache
from hannun.cache.invalidator import Invalidator as Invalidator
