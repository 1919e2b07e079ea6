"""The slots of other nodes, asked of all at once; what can't be had is told with its cause, and the last known if any.

Each node is asked within its own time; none holds up another, and none makes the whole fail.
"""

import asyncio
from collections.abc import Iterable

from msgspec import Struct

from meshd_core.client.answers import BadAnswer, decode
from meshd_core.clock import monotonic
from meshd_core.errors import PeerError, PeerTimeout
from meshd_core.mesh.peer import Peer
from meshd_core.types import NodeOutcome, Outcome, Slot, SlotList

TIMEOUT_S = 2.0
AT_ONCE = 16
MAX_BYTES = 4 * 1024 * 1024


class Found(Struct, frozen=True):
    """What is known of the slots of one node."""

    outcome: NodeOutcome
    slots: list[Slot]


class Survey:
    """Asks, and remembers the last answer of each node."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, list[Slot]]] = {}

    def forget(self, names: Iterable[str]) -> None:
        """These nodes are not in the table any more."""
        for name in names:
            self._last.pop(name, None)

    async def take(self, peers: Iterable[Peer]) -> list[Found]:
        """One `Found` for each peer, in their order, within about 2 s."""
        limit = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self._ask(peer, limit)) for peer in peers]
        return [task.result() for task in asked]

    async def _ask(self, peer: Peer, limit: asyncio.Semaphore) -> Found:
        """Never raises."""
        async with limit:
            try:
                async with asyncio.timeout(TIMEOUT_S):
                    slots = await _slots(peer)
            except (PeerError, PeerTimeout) as error:
                return self._without(peer, error.details.get("outcome", "unreachable"), error.message)
            except BadAnswer:
                return self._without(peer, "garbage", f"node {peer.name!r} answered something that is no list of slots")
            except TimeoutError:
                return self._without(peer, "unreachable", f"node {peer.name!r} did not answer within {TIMEOUT_S:g} s")
        self._last[peer.name] = (monotonic(), slots)
        return Found(NodeOutcome(peer.name, "ok", 0), slots)

    def _without(self, peer: Peer, outcome: object, reason: str) -> Found:
        """A node that is away keeps its last known slots; one that isn't what it should be has none."""
        known = self._last.get(peer.name)
        if outcome == "unreachable" and known is not None:
            age_ms = round((monotonic() - known[0]) * 1000)
            return Found(NodeOutcome(peer.name, "stale", age_ms, reason), known[1])
        named: Outcome = outcome if outcome in ("refused", "garbage", "wrong_name") else "unreachable"
        return Found(NodeOutcome(peer.name, named, peer.info().age_ms, reason), [])


async def _slots(peer: Peer) -> list[Slot]:
    """The node's slots. Raises PeerError, PeerTimeout; BadAnswer also for a slot that it says another node has."""
    answer = await peer.ask("GET", "/slots", max_bytes=MAX_BYTES)
    if answer.status != 200:
        raise BadAnswer(f"{peer.url} answered {answer.status}")
    slots = decode(answer.body, SlotList, peer.url).slots
    if any(slot.node != peer.name or slot.address != f"{slot.name}@{peer.name}" for slot in slots):
        raise BadAnswer(f"{peer.url} tells of slots of another node")
    return slots
