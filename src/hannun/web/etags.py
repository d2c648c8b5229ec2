"""Reads `If-None-Match`: which answers the client has already."""

import re

_VERSIONS = re.compile(r'"([0-9a-f]{1,32})-')


def version_in(if_none_match: str | None) -> int:
    """The newest version among the ETags of a client: the first part of each. 0 where it sends none of ours."""
    if if_none_match is None:
        return 0
    return max((int(version, 16) for version in _VERSIONS.findall(if_none_match)), default=0)


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether the client has the answer with this ETag already."""
    if if_none_match is None or if_none_match == etag:
        return if_none_match is not None
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag.removeprefix("W/") in tags or "*" in tags
