"""Principals and share grants: who a caller is and which events they may see."""

from dataclasses import dataclass
from datetime import datetime

READING_ROLES = frozenset({"MERCHANT", "ADMIN"})
SENDING_ROLES = frozenset({"SERVICE", "ADMIN"})


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller. A MERCHANT sees their own events, an ADMIN sees all.

    A share link's principal has the owner's `user_id`, no roles, and is restricted to `only_event`. `seen` is the
    version of the answer that the client already has (from If-None-Match): the client never gets an older one.
    """

    user_id: str
    roles: frozenset[str]
    only_event: str | None = None
    seen: int = 0

    @property
    def sees_all(self) -> bool:
        return "ADMIN" in self.roles

    @property
    def may_read(self) -> bool:
        """Whether this principal may read anything at all: by a role, or by a share link."""
        return self.only_event is not None or not READING_ROLES.isdisjoint(self.roles)

    @property
    def may_send(self) -> bool:
        """Whether this principal may send messages."""
        return not SENDING_ROLES.isdisjoint(self.roles)

    def may_see(self, owner: str) -> bool:
        """Whether this principal may see the events of `owner`. Does not check `only_event`; authorization did so."""
        return self.sees_all or (owner == self.user_id and self.may_read)

    def may_see_merchant(self, user_id: str) -> bool:
        """Whether this principal may see the totals over all events of a merchant."""
        return self.only_event is None and self.may_see(user_id)


@dataclass(frozen=True, slots=True)
class ShareGrant:
    """What a share link grants: read access to one event, as its owner, until a date (UTC, without a zone)."""

    share_id: str
    event_id: str
    owner: str
    expires_at: datetime

    @property
    def principal(self) -> Principal:
        return Principal(self.owner, frozenset(), only_event=self.event_id)
