"""What the output that an adoption takes in tells of the prompt that the earlier daemon was typing."""

from meshd_core.slots.inject_queue import InjectQueue
from meshd_core.slots.receipts import Entry
from meshd_core.slots.typist import Typist


class Proofs:
    """The status signals in one slot's journal and backlog, each with the raw offset that it came before."""

    def __init__(self) -> None:
        self._signals: list[tuple[int, str]] = []

    def begin(self) -> None:
        """An adoption begins."""
        self._signals.clear()

    def note(self, at: int, state: str) -> None:
        """The agent signalled `state`."""
        self._signals.append((at, state))

    def start(self, queue: InjectQueue, typist: Typist, adopted: bool) -> None:
        """The run begins for `queue`: what an earlier daemon was typing into it is proven to be taken, or in doubt."""
        in_doubt = queue.in_doubt() if adopted else None
        if in_doubt is not None and self._taken(in_doubt):
            queue.prove(in_doubt)
            in_doubt = None
        queue.agent_started(typist)
        if in_doubt is not None:
            queue.doubt(in_doubt, paste_open=in_doubt.stage == "writing")

    def _taken(self, entry: Entry) -> bool:
        """Whether, after its Enter, the agent began to work."""
        worked = any(at > entry.raw_mark for at, state in self._signals if state != "idle")
        return entry.stage == "entered" and worked and not entry.joined
