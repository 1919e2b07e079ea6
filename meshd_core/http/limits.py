"""What one address may cost us: wrong credentials a minute, and connections that never showed a good one.

A good credential is never locked out by bad ones, and a good client is never kept out by slow ones: the oldest
connection without a credential makes room for the newest.
"""

import ipaddress
from collections import OrderedDict
from typing import Protocol

from meshd_core.clock import monotonic

FAILURES_PER_WINDOW = 10
WINDOW_S = 60.0
MAX_ADDRESSES = 4096
MAX_UNKNOWN_PER_ADDRESS = 100


class FailureLimiter:
    """Counts wrong credentials by address. The table is bounded: the address seen longest ago is forgotten first."""

    def __init__(self) -> None:
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def failed(self, address: str | None) -> bool:
        """Count one wrong credential; whether the address has used up its tries (the answer is 429 then)."""
        key = network_of(address)
        now = monotonic()
        began, count = self._windows.pop(key, (now, 0))
        if now - began >= WINDOW_S:
            began, count = now, 0
        self._windows[key] = (began, count + 1)
        while len(self._windows) > MAX_ADDRESSES:
            self._windows.popitem(last=False)
        return count >= FAILURES_PER_WINDOW

    def retry_after_s(self, address: str | None) -> int:
        """Seconds until the address may try again."""
        began, _ = self._windows.get(network_of(address), (monotonic(), 0))
        return max(1, round(began + WINDOW_S - monotonic()))


class Closable(Protocol):
    def abort(self) -> None: ...


class Admission:
    """Connections without a good credential, by address; bounded by the number of open connections."""

    def __init__(self, max_connections: int, max_unknown: int = MAX_UNKNOWN_PER_ADDRESS) -> None:
        self._max_connections = max_connections
        self._max_unknown = max_unknown
        self._unknown: dict[str, OrderedDict[Closable, None]] = {}
        self.evicted = 0
        self.refused = 0

    def admit(self, connection: Closable, address: str | None, open_connections: int) -> bool:
        """Take in a new connection; False: there are too many in all, it must be told so and closed."""
        if open_connections > self._max_connections:
            self.refused += 1
            return False
        if address is not None:
            waiting = self._unknown.setdefault(network_of(address), OrderedDict())
            waiting[connection] = None
            if len(waiting) > self._max_unknown:
                oldest, _ = waiting.popitem(last=False)
                self.evicted += 1
                oldest.abort()
        return True

    def known(self, connection: Closable, address: str | None) -> None:
        """`connection` showed a good credential, or is gone: it counts no longer."""
        if address is None:
            return
        key = network_of(address)
        waiting = self._unknown.get(key)
        if waiting is not None:
            waiting.pop(connection, None)
            if not waiting:
                del self._unknown[key]

    def unknown(self) -> int:
        """How many connections without a credential are open."""
        return sum(len(waiting) for waiting in self._unknown.values())


def network_of(address: str | None) -> str:
    """What counts as one caller: an IPv4 address, or an IPv6 /64, which a single host usually has as a whole."""
    if address is None or ":" not in address:
        return address or ""
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return found.exploded[:19]
