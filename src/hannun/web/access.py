"""Which requests the audit log records: those that see the data of others, and those that take a file away."""

from collections.abc import Mapping

from hannun.domain.audit_chain import (
    ALL_EVENTS,
    ALL_MERCHANTS,
    MERCHANTS_EVENTS,
    Action,
    NewEntry,
    Subject,
    SubjectKind,
    event_object,
    user,
)
from hannun.domain.authorization import Principal
from hannun.domain.ids import canonical_id

_LISTS = {"/api/v1/events": ALL_EVENTS, "/api/v1/merchants": ALL_MERCHANTS}
"""What a path shows that names no event and no merchant. Other such paths show no data of merchants."""


def entry_of_read(
    principal: Principal, subject: str, path: str, parameters: Mapping[str, str], query: Mapping[str, str]
) -> NewEntry | None:
    """The entry of a request that reads; None where nothing is recorded: merchants see their own data.

    Args:
        subject: the share link's id, where the principal is one.
        parameters: those of the path.
    """
    is_file = query.get("format", "json") != "json"
    if principal.only_event is not None:
        actor = Subject(SubjectKind.SHARE_LINK, subject)
    elif principal.sees_all or is_file:
        actor = user(principal.user_id)
    else:
        return None
    action = Action.EXPORTED if is_file else Action.READ
    if "event_id" in parameters:
        return NewEntry(actor, action, event_object(canonical_id(parameters["event_id"])))
    whose = parameters.get("user_id") or query.get("userId")
    if whose is None:
        return NewEntry(actor, action, _LISTS[path]) if path in _LISTS else None
    own = canonical_id(whose) == principal.user_id
    answered = own or principal.sees_all
    if not answered or (own and not is_file):
        return None
    return NewEntry(actor, action, MERCHANTS_EVENTS, user(canonical_id(whose)))
