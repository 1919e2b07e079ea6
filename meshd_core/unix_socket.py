"""Addresses of Unix sockets whose path is longer than the kernel's field for it.

`sun_path` holds 108 bytes on Linux and 104 on macOS, the closing NUL included (unix(7)); runtime directories of real
users go beyond that.
"""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

MAX_ADDRESS_BYTES = 100


@contextlib.contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """A string to give to `bind` or `connect` for the socket at `path`; good only inside the `with` block.

    A long path is reached through a descriptor of its folder (`/proc/self/fd/<n>/<name>`), which only Linux has.
    Raises OSError: ENAMETOOLONG where the path can't be expressed, ENOENT if a long path's folder is missing.
    """
    text = os.path.abspath(path)
    if len(os.fsencode(text)) <= MAX_ADDRESS_BYTES:
        yield text
        return
    if not sys.platform.startswith("linux"):
        raise OSError(errno.ENAMETOOLONG, f"a Unix socket's path may have {MAX_ADDRESS_BYTES} bytes here", text)
    folder, name = os.path.split(text)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        address = f"/proc/self/fd/{descriptor}/{name}"
        if len(os.fsencode(address)) > MAX_ADDRESS_BYTES:
            raise OSError(errno.ENAMETOOLONG, "the name of a Unix socket is too long", text)
        yield address
    finally:
        os.close(descriptor)
