"""What this node has seen of another: when it last named itself, and what is wrong with it now."""

from datetime import datetime

from meshd_core.clock import monotonic, now_ms, rfc3339
from meshd_core.types import Node, Outcome, PeerInfo


class Trouble(Exception):
    """Why a node can't be used now. `reason` is for people and never holds what the node sent, but its name."""

    def __init__(self, outcome: Outcome, reason: str, *, timed_out: bool = False) -> None:
        super().__init__(reason)
        self.outcome: Outcome = outcome
        self.reason = reason
        self.timed_out = timed_out


class Sight:
    """One node as seen. `begin` before it is asked who it is, `seen` with its answer."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.node: Node | None = None
        self.trouble: Trouble | None = None
        self._seen_ms: int | None = None
        self._seen_at = self._asked_at = 0.0
        self._rtt_s: float | None = None
        self._skew_s: float | None = None

    def begin(self) -> None:
        self._asked_at = monotonic()

    def seen(self, node: Node) -> None:
        """It named itself rightly, just now."""
        self.node, self.trouble = node, None
        self._seen_at, self._seen_ms = monotonic(), now_ms()
        self._rtt_s = self._seen_at - self._asked_at
        self._skew_s = _ahead_s(node.now, self._seen_ms / 1000 - self._rtt_s / 2)

    @property
    def age_ms(self) -> int | None:
        """Since it last named itself; None: never."""
        return None if self._seen_ms is None else round((monotonic() - self._seen_at) * 1000)

    def _error(self) -> str | None:
        if self.trouble is not None:
            return self.trouble.reason
        return "it was not asked yet" if self.node is None else None

    def info(self, url: str) -> PeerInfo:
        node = self.node
        return PeerInfo(
            node=self._name,
            url=url,
            reachable=node is not None and self.trouble is None,
            rtt_ms=None if self._rtt_s is None else round(self._rtt_s * 1000, 1),
            skew_s=self._skew_s,
            last_seen=None if self._seen_ms is None else rfc3339(self._seen_ms),
            age_ms=self.age_ms,
            version=None if node is None else node.version,
            boot_id=None if node is None else node.boot_id,
            features=[] if node is None else node.features,
            error=self._error(),
        )


def _ahead_s(theirs: str, ours_s: float) -> float | None:
    """How far the clock that said `theirs` is ahead; None if that is no time of the wire."""
    try:
        return round(datetime.fromisoformat(theirs).timestamp() - ours_s, 3)
    except (ValueError, OverflowError):
        return None
