"""Network namespaces on a bridge: machines of their own, as far as the network goes. Needs root and iproute2."""

import os
import random
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager


def missing() -> str | None:
    """Why namespaces can't be made here; None: they can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need the command 'ip' (package iproute2)"
    name = f"mprobe{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode != 0:
        return f"no network namespace can be made here: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None


def own_address() -> str | None:
    """This machine's address to the outside; None: it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: asks for the route
        except OSError:
            return None
        return str(probe.getsockname()[0])


class Network:
    """A bridge with an address of this machine, and namespaces on it; addresses are of a tailnet's range."""

    def __init__(self) -> None:
        self._tag = f"{os.getpid() % 100000:x}{random.randrange(256):02x}"
        self._prefix = f"100.{random.randrange(64, 127)}.{random.randrange(256)}"
        self.bridge = f"mb{self._tag}"
        self.here = f"{self._prefix}.254"
        """This machine's own address on the bridge."""
        self._namespaces: list[str] = []

    def namespace(self) -> tuple[str, str]:
        """A new namespace and its address."""
        number = len(self._namespaces) + 1
        name, address, device = f"m{self._tag}n{number}", f"{self._prefix}.{number}", f"mv{self._tag}{number}"
        self._namespaces.append(name)
        _ip("netns", "add", name)
        _ip("link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", device, "master", self.bridge, "up")
        _ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "link", "set", "lo", "up")
        return name, address

    def black_hole(self, namespace: str) -> str:
        """An address that `namespace` sends to and never hears from: its machine's card is known, and isn't there."""
        address = f"{self._prefix}.200"
        _ip("-n", namespace, "neigh", "replace", address, "lladdr", "02:00:00:00:00:99", "dev", "eth0")
        return address

    def cut(self, namespace: str) -> None:
        """Pull the cable: what is sent to the namespace is lost without a word."""
        _ip("-n", namespace, "route", "replace", "blackhole", f"{self._prefix}.0/25")

    def mend(self, namespace: str) -> None:
        _ip("-n", namespace, "route", "del", "blackhole", f"{self._prefix}.0/25")

    def make(self) -> None:
        _ip("link", "add", self.bridge, "type", "bridge")
        _ip("addr", "add", f"{self.here}/24", "dev", self.bridge)
        _ip("link", "set", self.bridge, "up")

    def remove(self) -> None:
        for name in self._namespaces:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
        subprocess.run(["ip", "link", "del", self.bridge], capture_output=True)


@contextmanager
def network() -> Iterator[Network]:
    made = Network()
    try:
        made.make()
        yield made
    finally:
        made.remove()


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
