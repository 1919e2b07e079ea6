"""Three daemons in network namespaces of their own, each knowing the other two by a token that they made for it."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from meshd_core.testing.daemon import DaemonProcess
from meshd_core.types import NewToken, NodeList, PeerInfo
from tests.mesh.network import Network, network

NAMES = ("mac1", "mac2", "mac3")
SLOTS_EACH = 5


class Nodes:
    """The running mesh: daemons by name, and the network they are on."""

    def __init__(self, net: Network, daemons: dict[str, DaemonProcess], namespaces: dict[str, str], root: Path) -> None:
        self.net, self.daemons, self.namespaces, self.root = net, daemons, namespaces, root
        self._entries: dict[str, list[str]] = {name: [] for name in daemons}

    def __getitem__(self, name: str) -> DaemonProcess:
        return self.daemons[name]

    def log_of(self, address: str) -> Path:
        """What the demo agent of a slot wrote of the prompts that it got: one JSON line each."""
        slot, _, node = address.partition("@")
        return self.root / node / f"{slot}.jsonl"

    def token(self, name: str, scope: str, globs: list[str], label: str) -> str:
        body = {"scope": scope, "slots": globs, "label": label}
        return msgspec.json.decode(self[name].call("POST", "/tokens", body), type=NewToken).token

    def know(self, name: str, *entries: str) -> None:
        """Give `name` these further entries of the table, for good, and have it reload."""
        self._entries[name] += entries
        self[name].configure(self._toml(name, self._entries[name]), "port = 9451")
        self[name].reload()

    def forget_extras(self, name: str) -> None:
        """Leave only the other two in the table of `name`."""
        self._entries[name] = self._entries[name][:2]
        self.know(name)

    def introduce(self, scopes: Mapping[str, str]) -> None:
        """Give each node a token for each other: of scope `inject`, or as `scopes` says for the one that gives it."""
        for name in self.daemons:
            entries = []
            for other, daemon in self.daemons.items():
                if other != name:
                    file = self.root / name / f"{other}.token"
                    file.write_text(self.token(other, scopes.get(other, "inject"), ["*"], f"peer:{name}"))
                    file.chmod(0o600)
                    entries.append(entry(other, daemon.url, file.name))
            self.know(name, *entries)

    def peers(self, name: str) -> dict[str, PeerInfo]:
        """The table as `name` sees it."""
        return {peer.node: peer for peer in self[name].get("/mesh/nodes", NodeList).nodes}

    def _toml(self, name: str, entries: list[str]) -> str:
        return slots_toml(self.root / name) + "".join(entries)


def entry(name: str, url: str, token_file: str) -> str:
    return f'[[nodes]]\nname = "{name}"\nurl = "{url}"\ntoken = {{ file = "{token_file}" }}\n\n'


def slots_toml(folder: Path) -> str:
    return "".join(
        f'[[slots]]\nname = "s{number}"\nkind = "demo"\ncwd = "{folder}"\nlabels = {{ team = "t{number % 2}" }}\n'
        f'env = {{ MESHD_DEMO_LOG = "{folder / f"s{number}.jsonl"}" }}\n\n'
        for number in range(1, SLOTS_EACH + 1)
    )


@contextmanager
def three_nodes(scopes: Mapping[str, str] | None = None) -> Iterator[Nodes]:
    """Up, introduced to each other, and gone without a trace after."""
    root = Path(tempfile.mkdtemp(prefix="m-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        net = stack.enter_context(network())
        daemons, namespaces = {}, {}
        for name in NAMES:
            (root / name).mkdir()
            namespaces[name], address = net.namespace()
            daemon = DaemonProcess(root / name, "", name=name, address=address, netns=namespaces[name])
            daemon.configure(slots_toml(root / name), "port = 9451")
            daemons[name] = stack.enter_context(daemon)
        nodes = Nodes(net, daemons, namespaces, root)
        nodes.introduce(scopes or {})
        yield nodes
