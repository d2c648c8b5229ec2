"""What an operator learns from calling a channel: which step fails and what to do; or one call in detail.

Nothing is written but the budget that the call uses, and nothing counts for the circuit breaker.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from hannun.channels import trial
from hannun.channels.access import Access
from hannun.channels.declaration import Declaration
from hannun.channels.trial import Trial, Unreachable, shown_text
from hannun.counting.channel_limits import Grant
from hannun.domain.channel_totals import ChannelTotals, RefusedTotals, checked
from hannun.errors import Transient

PROBE_ID = "00000000-0000-4000-8000-000000000000"
"""Asked for where no ACTIVE event is distributed by the channel: it does not exist."""
VALUE_SHOWN_MAX = 60

_HINTS: Mapping[str, str] = {
    "address-refused": "enter an address of the public internet; HANNUN_CHANNEL_PRIVATE_ADDRESSES=true allows others",
    "connect": "check `address` in the access file, and the firewall between here and the channel",
    "encoding": "ask the channel: its body is encoded by something else than gzip, or broken",
    "error-body": "read the error in the body, which `try` shows",
    "name": "check `address` in the access file, and the name server",
    "not-json": "check the path of the declaration: what came is no JSON",
    "paging": "lower `batch` of the declaration, or raise `pages_max`",
    "protocol": "ask the channel: the connection was lost, or what came is not HTTP",
    "redirect": "enter the new address in the access file: redirects are never followed",
    "status-401": "check the credentials in the access file",
    "status-403": "check the credentials in the access file, and what they may read",
    "status-404": "check `address` in the access file, and the path of the declaration",
    "timeout": "ask the channel; raise `limits` of its declaration if it is always so slow",
    "tls": "check `address`; for an authority of your own set SSL_CERT_FILE",
    "token": "check client_id and client_secret in the access file, and token_path of the declaration",
    "too-large": "raise `body_bytes` of the declaration, or lower `batch`",
    "wrong-shape": "compare the body with [response] of the declaration",
}
_OTHER_HINT = "ask the channel"


class Step(NamedTuple):
    """A step of a check: what was found, and, where it failed, what to do."""

    name: str
    ok: bool
    found: str
    hint: str = ""


class Column(NamedTuple):
    """One of our columns: what the channel says, and what is taken of it; "-" is unknown."""

    name: str
    raw: str
    accepted: str


class Tried(NamedTuple):
    """One call in detail, as lines and words to print.

    `calls` is how many HTTP calls it took. `verdict` says what becomes of it; `ok` is whether that is good.
    """

    request: Sequence[str]
    response: str
    body: str
    columns: Sequence[Column]
    ok: bool
    verdict: str
    hint: str
    calls: int
    waited_s: float


class Budgets(Protocol):
    """`counting.channel_limits.SharedBudgets`. Its methods block."""

    def take(self, channel: str, wanted: int) -> Grant: ...

    def charge(self, channel: str, calls: int) -> None: ...

    def give_back(self, channel: str, grant: Grant, calls: int) -> None: ...


class ChannelTrials:
    """Calls one channel for an operator.

    Args:
        private_addresses: allow servers inside the own network.
    """

    def __init__(self, declaration: Declaration, access: Access, budgets: Budgets, *, private_addresses: bool) -> None:
        self._declaration = declaration
        self._access = access
        self._budgets = budgets
        self._private = private_addresses

    async def check(self, event_id: str) -> AsyncIterator[Step]:
        """Go the steps of a call, each as it ends, until one fails. The last one calls the channel.

        Raises:
            Transient: the budget has no call left now.
        """
        try:
            addresses = await trial.resolve(self._declaration, self._access, private_addresses=self._private)
            yield Step("address", True, f"{self._access.host} is {', '.join(addresses)}")
            agreed = await trial.connect(self._declaration, self._access, addresses[0])
            yield Step("connection", True, agreed)
        except Unreachable as error:
            reason, found = error.args
            yield Step(
                "connection" if reason in ("connect", "tls", "timeout") else "address", False, found, _hint(reason)
            )
            return
        tried = await self.try_(event_id)
        yield Step("call", tried.ok, f"{tried.response}; {tried.verdict}", tried.hint)

    async def try_(self, event_id: str) -> Tried:
        """Ask for one event. It waits where the budget spaces calls.

        Raises:
            Transient: the budget has no call left now.
        """
        key = self._declaration.key
        grant = self._budgets.take(key, 1)
        if not grant.calls:
            raise Transient(
                f"the budget of {self._declaration.name} has no call left",
                hint=f"the next one in {grant.wait_s:,.0f} s; hannun channels list",
            )
        await asyncio.sleep(grant.wait_s)
        found = await trial.call(self._declaration, self._access, event_id, private_addresses=self._private)
        if found.reply.units:
            self._budgets.charge(key, found.reply.units - 1)
        else:
            self._budgets.give_back(key, grant, 1)
        return _tried(found, event_id, grant.wait_s)


def _tried(found: Trial, event_id: str, waited_s: float) -> Tried:
    reply = found.reply
    ok, verdict, hint = _verdict(found, event_id)
    request = [] if found.sent is None else [f"{found.sent.method} {found.sent.url}"]
    if found.sent is not None:
        request += [f"{name}: {value}" for name, value in found.sent.headers]
        request += [found.sent.body] if found.sent.body else []
    response = "no response" if found.status is None else f"status {found.status}"
    return Tried(
        request,
        f"{response} in {reply.seconds:.2f} s",
        found.body,
        _columns(found.raw),
        ok,
        verdict,
        hint,
        reply.units,
        waited_s,
    )


def _verdict(found: Trial, event_id: str) -> tuple[bool, str, str]:
    """Whether the call is good, what becomes of it, and what to do."""
    reply = found.reply
    if reply.kind == "over-quota":
        again = "" if reply.retry_after_s is None else f", for {reply.retry_after_s:,.0f} s"
        return True, f"over quota{again}: the channel works, and refuses more calls", ""
    if reply.kind == "failed":
        return False, f"failed: {reply.reason}", _hint(reply.reason)
    if not reply.units:
        return False, "not asked: the id holds the character that separates ids in a call", "ask for another event"
    totals = reply.totals.get(event_id)
    if totals is None:
        return True, f"the channel does not know the event {event_id}", ""
    if isinstance(totals, RefusedTotals):
        detail = f" ({shown_text(totals.detail, VALUE_SHOWN_MAX)})" if totals.detail else ""
        return totals.reason == "empty", f"refused: {totals.reason}{detail}", _REFUSED_HINTS[totals.reason]
    return True, "accepted: these totals can be counted", ""


_REFUSED_HINTS: Mapping[str, str] = {
    "empty": "the channel has no number yet: unknown, and not 0",
    "negative": "ask the channel; the last good totals stay",
    "too-large": "ask the channel; the last good totals stay",
    "wrong-type": "compare the body with [response.counts] of the declaration",
    "more-completed-than-total": "ask the channel; or [response.counts] mixes two figures up",
}


def _columns(raw: Mapping[str, object]) -> list[Column]:
    totals = checked(raw) if raw else ChannelTotals()
    accepted = totals._asdict() if isinstance(totals, ChannelTotals) else {}
    return [Column(name, _shown(value), _shown(accepted.get(name))) for name, value in raw.items()]


def _shown(value: object) -> str:
    return "-" if value is None else shown_text(str(value), VALUE_SHOWN_MAX).replace("\n", " ")


def _hint(reason: str) -> str:
    return _HINTS.get(reason, _OTHER_HINT)
