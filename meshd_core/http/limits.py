"""What one address may cost us: wrong credentials a minute, and connections that never showed a good one.

A good credential is never locked out by bad ones, and a good client is never kept out by slow ones, from however many
addresses: the oldest connection without a credential makes room for the newest.
"""

import ipaddress
from collections import OrderedDict
from typing import Protocol

from meshd_core.clock import monotonic

FAILURES_PER_WINDOW = 10
WINDOW_S = 60.0
MAX_ADDRESSES = 4096
MAX_UNKNOWN_PER_ADDRESS = 100
BURST_S = 1.0
"""How long a connection may be without a credential before its address's count is held against it: many good clients
may come at once, as streams do after a restart."""
ARRIVING_S = 0.1
"""The same while there is no room at all: a good client shows its credential within a round trip or two."""


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

    def just_exceeded(self, address: str | None) -> bool:
        """Whether the last `failed` was the first one over the limit: what is worth one line in the log."""
        return self._windows.get(network_of(address), (0.0, 0))[1] == FAILURES_PER_WINDOW + 1

    def retry_after_s(self, address: str | None) -> int:
        """Seconds until the address may try again."""
        began, _ = self._windows.get(network_of(address), (monotonic(), 0))
        return max(1, round(began + WINDOW_S - monotonic()))


class Closable(Protocol):
    def abort(self) -> None: ...


class Admission:
    """Connections without a good credential, by address and in all; bounded by the number of open connections."""

    def __init__(
        self, max_connections: int, max_unknown: int = MAX_UNKNOWN_PER_ADDRESS, burst_s: float = BURST_S
    ) -> None:
        self._max_connections = max_connections
        self._max_unknown = max_unknown
        self._burst_s = burst_s
        self._unknown: dict[str, OrderedDict[Closable, float]] = {}
        self._oldest_first: OrderedDict[Closable, str] = OrderedDict()
        self.evicted = 0
        self.refused = 0

    def admit(self, connection: Closable, address: str | None, open_connections: int) -> bool:
        """Take in a new connection; False: there are too many in all, and none that could be given up.

        `address` None is the Unix socket, which counts as one address.
        """
        if open_connections > self._max_connections and not self.make_room():
            self.refused += 1
            return False
        key = network_of(address)
        waiting = self._unknown.setdefault(key, OrderedDict())
        now = monotonic()
        waiting[connection] = now
        self._oldest_first[connection] = key
        while len(waiting) > self._max_unknown:
            oldest, since = next(iter(waiting.items()))
            if now - since < self._burst_s:
                break
            self._evict(oldest)
        return True

    def make_room(self) -> bool:
        """Give up the oldest connection without a credential; False if there is none but such as just arrived."""
        for oldest, key in self._oldest_first.items():
            if monotonic() - self._unknown[key][oldest] < ARRIVING_S:
                return False
            self._evict(oldest)
            return True
        return False

    def _evict(self, connection: Closable) -> None:
        self._forget(connection)
        self.evicted += 1
        connection.abort()

    def known(self, connection: Closable) -> None:
        """`connection` showed a good credential, or is gone: it counts no longer."""
        self._forget(connection)

    def _forget(self, connection: Closable) -> None:
        key = self._oldest_first.pop(connection, None)
        if key is not None:
            waiting = self._unknown[key]
            del waiting[connection]
            if not waiting:
                del self._unknown[key]

    def unknown(self) -> int:
        """How many connections without a credential are open."""
        return len(self._oldest_first)


def network_of(address: str | None) -> str:
    """What counts as one caller: an IPv4 address, or an IPv6 /64, which a single host usually has as a whole."""
    if address is None or ":" not in address:
        return address or ""
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return found.exploded[:19]
