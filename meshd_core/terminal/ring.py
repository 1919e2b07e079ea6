"""A fixed piece of a memory mapping, addressed by offsets that only grow.

The byte with the offset `o` lies at `o % size`. Nothing here knows what is valid: that is the owner's head and tail.
"""

import struct

_U32 = struct.Struct("<I")


class Ring:
    """Reads and writes across the wrap. Callers keep each access within `size` bytes."""

    __slots__ = ("_view", "size")

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self.size = len(view)

    def get(self, start: int, length: int) -> bytes:
        """A copy of `length` bytes from the offset `start`."""
        at = start % self.size
        room = self.size - at
        if length <= room:
            return bytes(self._view[at : at + length])
        return b"".join((self._view[at:], self._view[: length - room]))

    def put(self, start: int, data: bytes | memoryview) -> None:
        """Copy `data` to the offset `start`. Not atomic: a process killed meanwhile leaves any part of it."""
        at = start % self.size
        room = self.size - at
        length = len(data)
        if length <= room:
            self._view[at : at + length] = data
            return
        parts = memoryview(data)
        self._view[at:] = parts[:room]
        self._view[: length - room] = parts[room:]

    def views(self, start: int, length: int) -> tuple[memoryview, ...]:
        """The bytes themselves, writable: one view, or two at the wrap. Release them before the mapping is closed."""
        at = start % self.size
        room = self.size - at
        if length <= room:
            return (self._view[at : at + length],)
        return (self._view[at:], self._view[: length - room])

    def u32(self, start: int) -> int:
        """The little-endian u32 at the offset `start`."""
        at = start % self.size
        if at + 4 <= self.size:
            value: int = _U32.unpack_from(self._view, at)[0]
            return value
        return int.from_bytes(self.get(start, 4), "little")

    def byte(self, start: int) -> int:
        return self._view[start % self.size]

    def release(self) -> None:
        self._view.release()
