"""Who is at the other end of a socket, as the kernel tells it; never as a header claims it."""

import os
import socket
import struct
import sys

from msgspec import Struct

# Source: <sys/un.h> of macOS; Python has no names for these.
_SOL_LOCAL = 0
_LOCAL_PEERCRED = 0x001
_LOCAL_PEERPID = 0x002


class Peer(Struct, frozen=True):
    """A TCP peer has an address, the peer of a Unix socket a user and a process."""

    address: str | None
    port: int | None = None
    uid: int | None = None
    pid: int | None = None

    @property
    def local(self) -> bool:
        """Whether it came through the Unix socket."""
        return self.address is None

    @property
    def gone(self) -> bool:
        """Whether the process that connected to the Unix socket can't be found: it ended, or is in another container.

        A zombie is there still, and so is its parent.
        """
        if self.pid is None:
            return False
        if self.pid <= 0:
            return True
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False

    def __str__(self) -> str:
        return f"unix:{self.pid}" if self.address is None else self.address


def peer_of(sock: socket.socket) -> Peer:
    """The peer of a connected socket. Raises OSError if it is gone already."""
    if sock.family == socket.AF_UNIX:
        return _unix_peer(sock)
    name = sock.getpeername()
    address = str(name[0])
    # An IPv4 client of a dual-stack socket must not be counted as another machine.
    return Peer(address.removeprefix("::ffff:") if "." in address else address, int(name[1]))


def _unix_peer(sock: socket.socket) -> Peer:
    if sys.platform == "darwin":
        credentials = sock.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, 76)
        (uid,) = struct.unpack_from("=I", credentials, 4)
        (pid,) = struct.unpack("=i", sock.getsockopt(_SOL_LOCAL, _LOCAL_PEERPID, 4))
        return Peer(None, uid=uid, pid=pid)
    pid, uid, _ = struct.unpack("=iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return Peer(None, uid=uid, pid=pid)
