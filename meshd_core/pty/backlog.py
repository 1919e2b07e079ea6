"""What the keeper holds of an agent's output while no daemon reads: bounded, oldest dropped first.

Blocks are anonymous maps, read into directly and given back to the system at once when freed: a keeper lives for
months and must not keep the memory of one busy night.
"""

import mmap
import os
from collections import deque

from meshd_core.pty.frames import DATA_FRAME_BYTES
from meshd_core.pty.messages import BACKLOG_BOUND_BYTES


class _Block:
    __slots__ = ("map", "used")

    def __init__(self, size: int) -> None:
        self.map = mmap.mmap(-1, size)
        self.used = 0


class BacklogBuffer:
    """The bytes that one run printed and no daemon has acknowledged.

    `start` is the position of the first held byte among all bytes ever read here, `lost_bytes` what this generation
    dropped before it. A generation ends by `free`, and by a drop after its bytes were handed out.
    """

    __slots__ = ("_blocks", "_bound", "_handed", "gen", "lost_bytes", "size", "start")

    def __init__(self, bound: int = BACKLOG_BOUND_BYTES) -> None:
        self._bound = bound
        self._blocks: deque[_Block] = deque()
        self._handed = False
        self.gen = 1
        self.lost_bytes = 0
        self.size = 0
        self.start = 0

    def read_from(self, fd: int) -> int:
        """One non-blocking read of `fd` into the buffer; the number of bytes, 0 at the end. Raises OSError as read."""
        if not self._blocks or self._blocks[-1].used == len(self._blocks[-1].map):
            self._blocks.append(_Block(min(DATA_FRAME_BYTES, self._bound)))
        block = self._blocks[-1]
        with memoryview(block.map) as whole, whole[block.used :] as room:
            count = os.readv(fd, [room])
        block.used += count
        self.size += count
        while self.size > self._bound:
            self._drop(self._blocks.popleft())
        return count

    def _drop(self, block: _Block) -> None:
        self.size -= block.used
        self.start += block.used
        self.lost_bytes += block.used
        if self._handed:
            self.gen += 1
            self._handed = False

    def hand_out(self) -> list[memoryview]:
        """Views of all that is held, oldest first, each of at most a data frame; kept until `free`."""
        self._handed = True
        return [memoryview(block.map)[: block.used] for block in self._blocks if block.used]

    def free(self, gen: int) -> None:
        """Forget generation `gen`, which a daemon has stored. Another generation's number changes nothing."""
        if gen != self.gen or not self._handed:
            return
        self.start += self.size
        self.size = self.lost_bytes = 0
        self._blocks.clear()
        self._handed = False
        self.gen += 1
