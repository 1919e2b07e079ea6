"""No network but loopback: the recorder starts itself again in a network namespace of its own."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence

INSIDE = "MESHD_CORPUS_OFFLINE"
"""Set in the environment of the recorder that is inside."""


class NoNamespace(Exception):
    """This machine does not let us make one; the message says why."""


def is_inside() -> bool:
    return INSIDE in os.environ


def enter(arguments: Sequence[str]) -> None:
    """Replace this process by `arguments` inside a new namespace. Raises NoNamespace; else it does not return."""
    unshare = shutil.which("unshare")
    if unshare is None:
        raise NoNamespace("the command 'unshare' (package util-linux) is not here")
    if shutil.which("ip") is None:
        raise NoNamespace("the command 'ip' (package iproute2) is not here")
    options = ["--net"] if os.geteuid() == 0 else ["--map-root-user", "--net"]
    probe = subprocess.run([unshare, *options, "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        raise NoNamespace(f"no network namespace can be made here (are you root?): {probe.stderr.strip()}")
    os.environ[INSIDE] = "1"
    sys.stdout.flush()
    os.execv(unshare, [unshare, *options, *arguments])  # noqa: S606 - no shell is wanted


def bring_up_loopback() -> None:
    """Inside: start `lo`. Raises NoNamespace if there is any other way out, or `lo` can't be started."""
    others = sorted(name for _, name in socket.if_nameindex() if name != "lo")
    if others:
        raise NoNamespace(f"there is a network besides loopback: {', '.join(others)}")
    done = subprocess.run(["ip", "link", "set", "lo", "up"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoNamespace(f"loopback can't be started: {done.stderr.strip()}")
