"""Who asks, and what they may see."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a merchant sees their own, an ADMIN everything.

    Who came by a share link has the owner's eyes, for `only_event` alone and no roles. `seen` is the version of the
    answer that they have already (If-None-Match): they get none that is older.
    """

    user_id: str
    roles: frozenset[str]
    only_event: str | None = None
    seen: int = 0

    @property
    def sees_all(self) -> bool:
        return "ADMIN" in self.roles

    def may_see(self, owner: str) -> bool:
        """Whether they may see an event of this owner. A share link's event was decided before."""
        return owner == self.user_id or self.sees_all

    def may_see_merchant(self, user_id: str) -> bool:
        """Whether they may see all of a merchant's events together."""
        return self.only_event is None and self.may_see(user_id)


@dataclass(frozen=True, slots=True)
class ShareGrant:
    """What a share link opens: one event, with its owner's eyes, until a date (UTC, without a zone)."""

    share_id: str
    event_id: str
    owner: str
    expires_at: datetime

    @property
    def asker(self) -> Principal:
        return Principal(self.owner, frozenset(), only_event=self.event_id)
