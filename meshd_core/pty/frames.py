"""Length frames with descriptors over a non-blocking Unix stream socket, for both sides.

A frame is 4 bytes of length (big-endian, of what follows), one byte of type (`J` JSON, `D` data) and the body. Not
SOCK_SEQPACKET, which macOS lacks. Descriptors travel with a frame's first bytes (SCM_RIGHTS, unix(7)): the receiver
has them, in order, before the frame is complete, so a queue of descriptors beside the frames is exact.
"""

import array
import os
import socket
import struct
from collections import deque
from collections.abc import Sequence

from meshd_core.pty.errors import FrameError

JSON = b"J"
DATA = b"D"
MAX_FRAME_BYTES = 1024 * 1024
DATA_FRAME_BYTES = 256 * 1024
READ_BYTES = 64 * 1024
MAX_FDS = 16

_HEADER = struct.Struct("!Ic")
_CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class _Outgoing:
    """Bytes still to be sent, and the descriptors that must go with the first of them."""

    __slots__ = ("fds", "view")

    def __init__(self, view: memoryview, fds: Sequence[int]) -> None:
        self.view, self.fds = view, fds


class Wire:
    """One connection. Nothing here blocks; the owner watches the socket and calls `receive` and `flush`.

    The owner bounds what is queued: it accepts no new request while `pending_bytes` is high.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.ended = False
        """The other side closed its end, or died."""
        self.pending_bytes = 0
        self._out: deque[_Outgoing] = deque()
        self._in = bytearray()
        self._fds: deque[int] = deque()

    def fileno(self) -> int:
        return self.sock.fileno()

    def queue(self, kind: bytes, body: bytes | memoryview, fds: Sequence[int] = ()) -> None:
        """Append one frame. `fds` become ours: closed once sent, or by `close`. A view must not change until sent."""
        if len(body) + 1 > MAX_FRAME_BYTES:
            for fd in fds:
                os.close(fd)
            raise FrameError(f"a frame of {len(body)} bytes is too long")
        header = memoryview(_HEADER.pack(len(body) + 1, kind))
        self._out.append(_Outgoing(header, fds))
        self._out.append(_Outgoing(memoryview(body), ()))
        self.pending_bytes += len(header) + len(body)

    def flush(self) -> bool:
        """Send what the socket takes now; whether all is sent. Raises OSError if the other side is gone."""
        while self._out:
            entry = self._out[0]
            if entry.view:
                try:
                    sent = self._send(entry)
                except BlockingIOError:
                    return False
                self.pending_bytes -= sent
                entry.view = entry.view[sent:]
                self._close_fds(entry)
            if not entry.view:
                self._out.popleft()
        return True

    def _send(self, entry: _Outgoing) -> int:
        if not entry.fds:
            return self.sock.send(entry.view)
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", entry.fds))
        return self.sock.sendmsg([entry.view], [rights])

    @staticmethod
    def _close_fds(entry: _Outgoing) -> None:
        for fd in entry.fds:
            os.close(fd)
        entry.fds = ()

    def receive(self) -> list[tuple[bytes, bytes]]:
        """One read of the socket: the frames (type, body) that it completed, maybe none; sets `ended` at the end.

        Raises FrameError on a malformed frame and OSError if the connection broke.
        """
        space = socket.CMSG_SPACE(MAX_FDS * array.array("i").itemsize)
        try:
            data, control, flags, _ = self.sock.recvmsg(READ_BYTES, space, _CLOEXEC)
        except BlockingIOError:
            return []
        self._take_fds(control)
        if flags & socket.MSG_CTRUNC:
            raise FrameError("descriptors were lost: too many in one message, or none left in this process")
        if not data:
            self.ended = True
            return []
        self._in += data
        return self._frames()

    def _take_fds(self, control: list[tuple[int, int, bytes]]) -> None:
        for level, kind, payload in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
                for fd in fds:
                    os.set_inheritable(fd, False)
                    self._fds.append(fd)

    def _frames(self) -> list[tuple[bytes, bytes]]:
        frames: list[tuple[bytes, bytes]] = []
        start = 0
        while len(self._in) - start >= _HEADER.size:
            size, kind = _HEADER.unpack_from(self._in, start)
            if kind not in (JSON, DATA) or not 1 <= size <= MAX_FRAME_BYTES:
                raise FrameError("not a frame of the keeper's protocol")
            end = start + _HEADER.size - 1 + size
            if len(self._in) < end:
                break
            frames.append((kind, bytes(memoryview(self._in)[start + _HEADER.size : end])))
            start = end
        del self._in[:start]
        return frames

    def take_fd(self) -> int:
        """The oldest descriptor received and not yet taken; it becomes the caller's. Raises FrameError if none."""
        if not self._fds:
            raise FrameError("a descriptor is missing from a frame that must carry one")
        return self._fds.popleft()

    def close(self) -> None:
        """Close the socket and every descriptor that was not handed over."""
        for entry in self._out:
            self._close_fds(entry)
        self._out.clear()
        self.pending_bytes = 0
        while self._fds:
            os.close(self._fds.popleft())
        self.sock.close()
