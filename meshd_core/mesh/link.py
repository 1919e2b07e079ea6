"""The stream of news of one other node: kept open while somebody listens, begun anew when it is lost, and judged.

What it says of slots of another node, and what is no event of the protocol, ends it: the node is named as talking
garbage. Everything is decoded and encoded anew, so that nothing it sends is passed on as it is.
"""

import asyncio
from collections.abc import Callable

import msgspec

from meshd_core.client.answers import BadAnswer
from meshd_core.client.sse import RawEvent, SseParser, TooLong
from meshd_core.errors import PeerError, PeerTimeout
from meshd_core.mesh.news import Item
from meshd_core.mesh.peer import Peer
from meshd_core.types import MeshDialog, MeshInject, MeshState, NodeOutcome, Outcome

TARGET = "/mesh/stream?local=true"
MAX_SLOTS = 10_000
MAX_EVENT_BYTES = 256 * 1024
MAX_STATES_BYTES = 8 * 1024 * 1024
"""The last states of all its slots together."""
_AGAIN_S = 0.5
_BYTES_PER_S = 4 * 1024 * 1024
"""News of one node are taken no faster: what floods must not take the loop's time from everyone else."""
_SHAPES: dict[str, type[MeshState | MeshDialog | MeshInject]] = {
    "state": MeshState,
    "dialog": MeshDialog,
    "inject": MeshInject,
}


class Link:
    """Tells `tell` what the node's stream says, and that the node is there or away."""

    def __init__(self, peer: Peer, tell: Callable[[Item], None]) -> None:
        self._peer, self._tell = peer, tell
        self.states: dict[str, Item] = {}
        """The last state of each of its slots, by name."""
        self._states_bytes = 0
        self.outcome: NodeOutcome | None = None

    def known(self) -> list[Item]:
        """What a new listener has to be told."""
        if self.outcome is None:
            return []
        return [self._item(self.outcome), *self.states.values()]

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                async with self._peer.stream(TARGET) as far:
                    if far.status != 200 or not far.content_type.startswith("text/event-stream"):
                        raise BadAnswer(f"{self._peer.url} has no stream of news: status {far.status}")
                    self._is("ok", None)
                    self.states, self._states_bytes = {}, 0
                    parser = SseParser()
                    async for chunk in far.chunks():
                        for raw in _parsed(parser, chunk):
                            self._take(raw)
                        await asyncio.sleep(len(chunk) / _BYTES_PER_S if len(chunk) > 4096 else 0)
                self._is("unreachable", f"node {self._peer.name!r} ended its stream")
            except (PeerError, PeerTimeout) as error:
                outcome = error.details.get("outcome")
                self._is(outcome if outcome in ("refused", "garbage", "wrong_name") else "unreachable", error.message)
            await asyncio.sleep(max(_AGAIN_S, self._peer.retry_in_s()))

    def _take(self, raw: RawEvent) -> None:
        shape = _SHAPES.get(raw.type)
        if shape is None:
            return  # `node` and `bye` say what shows by itself; others are of a newer version
        if len(raw.data) > MAX_EVENT_BYTES:
            raise BadAnswer(f"{self._peer.url} sent an event of more than {MAX_EVENT_BYTES} bytes")
        try:
            data = msgspec.json.decode(raw.data, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadAnswer(f"{self._peer.url} sent an event that can't be read") from error
        slot, _, node = data.address.partition("@")
        if node != self._peer.name:
            raise BadAnswer(f"{self._peer.url} tells of a slot of another node")
        item = Item(raw.type, self._peer.name, slot, data, len(raw.data))
        if isinstance(data, MeshState):
            self._keep(slot, item, data.removed)
        self._tell(item)

    def _keep(self, slot: str, item: Item, removed: bool) -> None:
        before = self.states.get(slot)
        self._states_bytes -= 0 if before is None else before.size
        if removed:
            self.states.pop(slot, None)
            return
        self.states[slot] = item
        self._states_bytes += item.size
        if len(self.states) > MAX_SLOTS or self._states_bytes > MAX_STATES_BYTES:
            raise BadAnswer(f"{self._peer.url} tells of more than {MAX_SLOTS} slots or {MAX_STATES_BYTES} bytes")

    def gone(self, why: str | None) -> None:
        """Its entry of the table was removed (`why`), or replaced: what it had told does not hold any more."""
        for item in list(self.states.values()):
            if isinstance(item.data, MeshState):
                self._tell(msgspec.structs.replace(item, data=msgspec.structs.replace(item.data, removed=True)))
        if why is not None:
            self._is("unreachable", why)

    def _is(self, outcome: Outcome, reason: str | None) -> None:
        age_ms = 0 if outcome == "ok" else self._peer.info().age_ms
        before, self.outcome = self.outcome, NodeOutcome(self._peer.name, outcome, age_ms, reason)
        if before is None or before.outcome != outcome or outcome == "ok":
            self._tell(self._item(self.outcome))

    def _item(self, outcome: NodeOutcome) -> Item:
        return Item("node", self._peer.name, None, outcome)


def _parsed(parser: SseParser, chunk: bytes) -> list[RawEvent]:
    try:
        return parser.feed(chunk)
    except TooLong as error:
        raise BadAnswer(str(error)) from error
