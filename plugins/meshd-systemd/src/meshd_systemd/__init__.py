"""Tells systemd that the daemon is up, what it is, and, where the unit asks for it, that its event loop still turns."""

import os

from meshd_core.api import DaemonInfo, hookimpl
from meshd_systemd.notify import Watchdog, notify, watchdog_interval_s


@hookimpl
def meshd_daemon_ready(info: DaemonInfo) -> None:
    """`READY=1` and a status line; then the watchdog's beats. Does nothing outside of systemd."""
    state = f"READY=1\nSTATUS=node {info.node}, meshd {info.version}, {' '.join(info.urls)}\nMAINPID={os.getpid()}"
    if notify(state) and (interval_s := watchdog_interval_s(os.environ, os.getpid())) is not None:
        Watchdog(interval_s).beat()
