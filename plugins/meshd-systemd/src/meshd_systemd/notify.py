"""The protocol of sd_notify: lines of text in a datagram to the socket that NOTIFY_SOCKET names.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

import asyncio
import logging
import os
import socket
from collections.abc import Mapping

log = logging.getLogger(__name__)


def notify(state: str) -> bool:
    """Send `state` to systemd; False if there is none, or if it can't be reached (which is logged)."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path[:1] not in ("/", "@"):
        return False
    address = "\0" + path[1:] if path[0] == "@" else path
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sender:
            sender.sendto(state.encode(), address)
    except OSError as error:
        log.warning("systemd can't be told", extra={"reason": error.strerror})
        return False
    return True


def watchdog_interval_s(environ: Mapping[str, str], pid: int) -> float | None:
    """Half of what the unit's WatchdogSec allows; None if it isn't set, or is meant for another process."""
    try:
        limit_us = int(environ.get("WATCHDOG_USEC", ""))
        meant_for = int(environ.get("WATCHDOG_PID", str(pid)))
    except ValueError:
        return None
    return limit_us / 2_000_000 if limit_us > 0 and meant_for == pid else None


class Watchdog:
    """Beats by the event loop's own timer: when the loop stands still, the beats stop, and systemd restarts the daemon.

    Its agents go on meanwhile.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s

    def beat(self) -> None:
        """One beat now, and the next one in an interval, for as long as the loop runs."""
        notify("WATCHDOG=1")
        asyncio.get_running_loop().call_later(self._interval_s, self.beat)
