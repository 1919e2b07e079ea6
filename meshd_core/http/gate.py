"""What stands before every route: Host, Origin, credential. In this order, and before 404 and 405.

Whoever gets through can type into an agent that runs commands, so every doubt is a no.
"""

import logging
import os
import re
from collections.abc import Iterable, Mapping
from functools import partial

from msgspec import Struct

from meshd_core.auth.chain import AuthChain
from meshd_core.auth.reach import EVERYTHING
from meshd_core.contracts.auth import Caller, Principal
from meshd_core.errors import (
    Forbidden,
    HostNotAllowed,
    InvalidRequest,
    OriginNotAllowed,
    TooManyFailures,
    Unauthorized,
)
from meshd_core.http.exchange import Exchange
from meshd_core.http.limits import FailureLimiter
from meshd_core.http.service import NodeService
from meshd_core.http.tickets import TicketStore, ticket_in

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::[0-9]{1,5})?")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_ANY = frozenset({"0.0.0.0", "::"})  # noqa: S104 - bound addresses, but no names that a client may use
_FORWARDING = ("forwarded", "x-forwarded-", "x-real-ip", "x-client-ip", "true-client-ip", "cf-", "tailscale-")

log = logging.getLogger(__name__)


class GateRules(Struct, frozen=True):
    """Names and origins that are ours: the node's and host's names, bound addresses, what the configuration adds."""

    hosts: frozenset[str]
    """Lower-cased, without port, IPv6 without brackets."""
    origins: frozenset[str] = frozenset()
    public: frozenset[tuple[str, str]] = frozenset({("GET", "/health")})
    """Method and path of what needs no credential."""


def gate_rules(names: Iterable[str], allowed_hosts: Iterable[str], allowed_origins: Iterable[str]) -> GateRules:
    """Rules from the node's own names and addresses and `[http]` of the configuration."""
    hosts = {_plain(host) for host in (*names, *allowed_hosts)} | _LOOPBACK
    origins = frozenset(origin.rstrip("/").lower() for origin in allowed_origins)
    return GateRules(hosts=frozenset(hosts - _ANY), origins=origins)


class Gate:
    """Lets a request through by giving it a principal, or raises."""

    def __init__(self, service: NodeService, chain: AuthChain, rules: GateRules, tickets: TicketStore) -> None:
        self._service = service
        self._chain = chain
        self._rules = rules
        self._tickets = tickets
        self._failures = FailureLimiter()

    def use(self, rules: GateRules) -> None:
        """The configuration changed: judge by `rules` from now on."""
        self._rules = rules

    async def admit(self, exchange: Exchange) -> None:
        """Check everything that doesn't depend on the route. Raises HostNotAllowed, OriginNotAllowed, Unauthorized,
        TooManyFailures, Forbidden, InvalidRequest.
        """
        self._check_host(exchange)
        self._check_origin(exchange)
        if (exchange.method, exchange.scope["path"]) in self._rules.public or self.is_preflight(exchange):
            return
        if exchange.connection.peer.local:
            exchange.principal = await self._local(exchange)
        else:
            exchange.principal = await self._remote(exchange)

    def is_preflight(self, exchange: Exchange) -> bool:
        """Whether a browser asks on behalf of an origin that the configuration allows."""
        return (
            exchange.method == "OPTIONS"
            and "access-control-request-method" in exchange.headers
            and exchange.headers.get("origin", "").lower() in self._rules.origins
        )

    def _check_host(self, exchange: Exchange) -> None:
        path = exchange.scope["path"]
        if not path.startswith("/"):
            if "://" in path:
                raise HostNotAllowed("an absolute URI as request target is not accepted", hint="send the path alone")
            raise InvalidRequest("the request target is not a path")
        if exchange.connection.peer.local:
            return  # no browser speaks to a Unix socket
        found = _HOST.fullmatch(exchange.headers.get("host", ""))
        if found is None:
            raise HostNotAllowed("the Host header is missing or malformed")
        name = _plain(found[1])
        if name not in self._rules.hosts and name != exchange.connection.local_address:
            raise HostNotAllowed("the Host header names a host that is not this node", host=name)

    def _check_origin(self, exchange: Exchange) -> None:
        origin = exchange.headers.get("origin")
        if origin is None:
            return
        if origin.lower() in self._rules.origins:
            exchange.extra += [
                (b"access-control-allow-origin", origin.encode("latin-1")),
                (b"access-control-expose-headers", b"meshd-request-id, meshd-next"),
                (b"vary", b"origin"),
            ]
        elif origin != f"http://{exchange.headers.get('host')}":  # a page of our own, whose Host was just checked
            raise OriginNotAllowed("requests from this web origin are not accepted")

    async def _local(self, exchange: Exchange) -> Principal:
        peer = exchange.connection.peer
        if peer.uid not in (os.getuid(), 0):
            raise Forbidden("this Unix socket belongs to another user")
        slot = None if peer.pid is None else self._service.slot_of_process(peer.pid)
        if slot is None and peer.gone:
            # Whose process that was can't be told any more; an agent could connect by a child that ends at once.
            raise Forbidden("the process that opened this connection is gone", hint="keep it, or send a token over TCP")
        if slot is None:
            exchange.connection.identified()
            return Principal(f"local:{peer.uid}", "admin", (EVERYTHING,), "local", f"local:{peer.uid}")
        if "authorization" in exchange.headers:
            return await self._remote(exchange)
        if (principal := self._service.agent_principal(slot)) is not None:
            exchange.connection.identified()
            exchange.identify_again = partial(self._agent_again, slot)
            return principal
        hint = 'api = "read" or "inject" in the slot\'s configuration allows that much'
        raise Forbidden(f"a process of slot {slot} may not use the local socket", hint=hint, slot=slot)

    async def _agent_again(self, slot: str) -> Principal | None:
        return self._service.agent_principal(slot)

    async def _remote(self, exchange: Exchange) -> Principal:
        headers = exchange.headers
        peer = exchange.connection.peer
        principal = None
        ticket = None if "authorization" in headers else ticket_in(exchange.scope)
        if ticket is not None:
            principal = await self._by_ticket(exchange, *ticket)
        elif not exchange.duplicate_authorization:
            caller = Caller(_without_forwarding(headers), peer.address, peer.port)
            exchange.identify_again = partial(self._chain.identify, caller)
            principal = await self._chain.identify(caller)
        if principal is not None:
            exchange.connection.identified()
            return principal
        if "authorization" not in headers and ticket is None:
            raise Unauthorized("this needs a credential")
        if self._failures.failed(peer.address):
            if self._failures.just_exceeded(peer.address):
                log.warning("too many wrong credentials", extra={"peer": str(peer)})
            retry_s = self._failures.retry_after_s(peer.address)
            raise TooManyFailures("too many wrong credentials from this address", retry_after_s=retry_s)
        raise Unauthorized("this credential is not accepted")

    async def _by_ticket(self, exchange: Exchange, ticket: str, target: bytes) -> Principal | None:
        grant = self._tickets.redeem(ticket, target) if exchange.method == "GET" else None
        if grant is None:
            return None
        exchange.identify_again = grant.identify
        return await grant.holder()


def _without_forwarding(headers: dict[str, str]) -> Mapping[str, str]:
    """Without what a client may claim about where it comes from: no provider must ever judge by that."""
    for name in headers:
        if name.startswith(_FORWARDING):
            return {key: value for key, value in headers.items() if not key.startswith(_FORWARDING)}
    return headers


def _plain(host: str) -> str:
    """A host name or address in the one form that is compared."""
    return host.strip("[]").lower().removesuffix(".")
