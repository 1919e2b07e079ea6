"""Tickets: credentials for one WebSocket, for callers that can't send headers with it, as browsers. Protocol section 2.

A ticket is worth nothing for anything but the very path and query that it was made for, once, within 30 s, and only
while the credential of whoever asked for it is good.
"""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from msgspec import Struct
from starlette.types import Scope

from meshd_core.clock import monotonic, now_ms, rfc3339
from meshd_core.contracts.auth import Principal
from meshd_core.types import Ticket

LIFETIME_S = 30
MAX_TICKETS = 1024
MAX_EACH = 64
"""Tickets of one principal that wait to be used; a further one takes the place of its oldest."""
PREFIX = "/attach/"
"""Of the paths that a ticket can be for."""
_NAME = b"ticket="

Identify = Callable[[], Awaitable[Principal | None]]


class Grant(Struct, frozen=True):
    """What a ticket stands for. `identify` tells who holds the credential by now; None: it can't be revoked."""

    principal: Principal
    identify: Identify | None

    async def holder(self) -> Principal | None:
        """Whom the ticket speaks for now; None if the credential behind it has ended."""
        return self.principal if self.identify is None else await self.identify()


class _Stored(Struct, frozen=True):
    target: bytes
    ends_at: float
    grant: Grant


class TicketStore:
    """Tickets in memory only, and only their digests; bounded. They end with the daemon."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._stored: OrderedDict[bytes, _Stored] = OrderedDict()

    def issue(self, target: str, grant: Grant) -> Ticket:
        """A ticket for `target`, a path with its query."""
        self._forget_old()
        holder = _holder(grant)
        own = [digest for digest, stored in self._stored.items() if _holder(stored.grant) == holder]
        if len(own) >= MAX_EACH:
            del self._stored[own[0]]
        if len(self._stored) >= MAX_TICKETS:
            self._stored.popitem(last=False)
        ticket = secrets.token_urlsafe(32)
        self._stored[_digest(ticket)] = _Stored(target.encode(), self._clock() + LIFETIME_S, grant)
        return Ticket(ticket=ticket, path=target, expires=rfc3339(now_ms() + LIFETIME_S * 1000))

    def redeem(self, ticket: str, target: bytes) -> Grant | None:
        """What `ticket` stands for, if it is for `target`. It is used up by this, whatever the answer."""
        stored = self._stored.pop(_digest(ticket), None)
        if stored is None or stored.ends_at <= self._clock() or stored.target != target:
            return None
        return stored.grant

    def _forget_old(self) -> None:
        now = self._clock()
        while self._stored and next(iter(self._stored.values())).ends_at <= now:
            self._stored.popitem(last=False)


def ticket_in(scope: Scope) -> tuple[str, bytes] | None:
    """The ticket at the end of the query of an attach, and the target without it; None if there is none there."""
    raw_path: bytes = scope["raw_path"]
    query: bytes = scope["query_string"]
    if not raw_path.startswith(PREFIX.encode()):
        return None
    before, name, ticket = query.rpartition(_NAME)
    if not name or b"&" in ticket or (before and not before.endswith(b"&")):
        return None
    rest = before.removesuffix(b"&")
    return ticket.decode("latin-1"), raw_path + (b"?" + rest if rest else b"")


def _digest(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode("utf-8", "surrogatepass")).digest()


def _holder(grant: Grant) -> tuple[str, str]:
    return grant.principal.provider, grant.principal.id or grant.principal.subject
