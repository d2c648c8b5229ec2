"""What speaks to Redis, for one server or for a cluster, as its address says."""

from typing import Any

from hannun.cache.address import RedisAddress
from hannun.cache.answer_cache import AnswerCache
from hannun.cache.cluster_answer_cache import ClusterAnswerCache
from hannun.cache.cluster_invalidator import ClusterInvalidator
from hannun.cache.invalidator import Invalidator
from hannun.cache.processed_markers import ClusterProcessedMarkers, ProcessedMarkers
from hannun.cache.pubsub import ClusterPubSubChannel, PubSubChannel
from hannun.cache.server_statistics import ClusterInspector, ServerInspector


def answer_cache(address: RedisAddress, **options: Any) -> AnswerCache:
    return (ClusterAnswerCache if address.cluster else AnswerCache)(address, **options)


def invalidator(address: RedisAddress) -> Invalidator:
    return (ClusterInvalidator if address.cluster else Invalidator)(address)


def processed_markers(address: RedisAddress, **options: Any) -> ProcessedMarkers:
    return (ClusterProcessedMarkers if address.cluster else ProcessedMarkers)(address, **options)


def pubsub_channel(address: RedisAddress, channel: str) -> PubSubChannel:
    return (ClusterPubSubChannel if address.cluster else PubSubChannel)(address, channel)


def server_inspector(address: RedisAddress) -> ServerInspector:
    return (ClusterInspector if address.cluster else ServerInspector)(address)
