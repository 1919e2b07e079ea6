"""The provider: the socket's peer alone says who calls, no header ever does."""

import errno
import ipaddress
import socket
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic

from meshd_core.api import AuthProvider, Caller, Denied, Principal
from meshd_tailscale.config import TailscaleConfig
from meshd_tailscale.local_api import LocalApiError, whois
from meshd_tailscale.policy import principal_of

KEPT_S = 60.0
"""How long an answer counts; a person who is removed from the tailnet gets in for so long."""
REFUSAL_KEPT_S = 5.0
MAX_KEPT = 4096

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Verdict = Principal | Denied | LocalApiError | None
"""None: nobody of the tailnet."""


class TailscaleProvider(AuthProvider):
    """Answers are kept by address *and* port: in userspace networking all peers have this machine's address, and only
    the port tells them apart. There a port may be somebody else's a moment later, so answers about this machine's own
    addresses are never kept.
    """

    name = "tailscale"

    def __init__(
        self, config: TailscaleConfig, *, clock: Callable[[], float] = monotonic,
        is_own: Callable[[Address], bool] | None = None,
    ) -> None:  # fmt: skip
        self._config, self._clock = config, clock
        self._is_own = is_own or is_own_address
        self._kept: OrderedDict[tuple[Address, int], tuple[float, Verdict]] = OrderedDict()

    def check(self, listeners_are_local: bool) -> None:
        import aiohttp  # noqa: F401 - before the first caller, who would wait for it

    async def authenticate(self, caller: Caller) -> Principal | None:
        """The peer's principal; None for a caller with a credential of its own (a token), from outside of the tailnet,
        or from this machine. Raises Denied for who has no rule and no grant, LocalApiError if tailscaled can't tell.
        """
        if "authorization" in caller.headers or caller.peer is None or caller.peer_port is None:
            return None
        key = plain_address(caller.peer), caller.peer_port
        kept = self._kept.get(key)
        if kept is not None and kept[0] > self._clock():
            return _told(kept[1])
        is_own = self._is_own(key[0])
        if is_own and not self._config.local_peers:
            return None
        verdict = await self._ask(key)
        if not is_own:
            self._keep(key, verdict)
        return _told(verdict)

    async def _ask(self, key: tuple[Address, int]) -> Verdict:
        try:
            peer = await whois(self._config.socket, join(*key))
            return None if peer is None else principal_of(peer, self._config)
        except (Denied, LocalApiError) as refusal:
            return refusal

    def _keep(self, key: tuple[Address, int], verdict: Verdict) -> None:
        kept_s = KEPT_S if isinstance(verdict, Principal) else REFUSAL_KEPT_S
        self._kept[key] = self._clock() + kept_s, verdict
        self._kept.move_to_end(key)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)


def _told(verdict: Verdict) -> Principal | None:
    if isinstance(verdict, Exception):
        raise verdict.with_traceback(None)
    return verdict


def plain_address(text: str) -> Address:
    """An address in the one form that is asked for: an IPv4 address in IPv6's clothes is an IPv4 address."""
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped


def join(address: Address, port: int) -> str:
    return f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"


def is_own_address(address: Address) -> bool:
    """Whether `address` is one of this machine's: only to those can a socket be bound. In doubt it is."""
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError as error:
            return error.errno != errno.EADDRNOTAVAIL
    return True
