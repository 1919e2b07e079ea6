"""What the types of the configuration can't say: duplicates, addresses, URLs, paths, secrets.

Each rule yields problems and leaves everything else alone. Values that failed their type are empty here: skipped.
"""

import ipaddress
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from meshd_core.config.addresses import may_be_private
from meshd_core.config.decode import Document
from meshd_core.config.lines import KeyPath
from meshd_core.config.model import Config, NodeSection, PeerSection, SlotSection
from meshd_core.config.places import default_node_name
from meshd_core.config.problems import ConfigProblem, shown
from meshd_core.config.secrets import SecretError, exposure, resolve
from meshd_core.contracts.secrets import SecretRef

Add = Callable[..., ConfigProblem]


def problems_of(config: Config, document: Document, base: Path, environ: Mapping[str, str]) -> list[ConfigProblem]:
    """Everything wrong with `config` beyond its types, in the order of the file's sections."""
    found = [*_node(config.node, document)]
    found += _duplicates(document, "slots", [slot.name for slot in config.slots])
    for index, slot in enumerate(config.slots):
        found += _slot(slot, ("slots", index), document)
    found += _duplicates(document, "nodes", [peer.name for peer in config.nodes])
    for index, peer in enumerate(config.nodes):
        found += _peer(peer, ("nodes", index), document)
        if peer.name and peer.name == (config.node.name or default_node_name()):
            found.append(document.problem(("nodes", index, "name"), "is this node's own name"))
    found += _lists(config, document)
    for name, sink in config.sinks.items():
        if not isinstance(sink.get("plugin"), str):
            found.append(document.problem(("sinks", name), "'plugin' is missing", "it names the sink, as 'webhook'"))
    for path, ref in _secrets(config):
        try:
            resolve(ref, base, environ)
        except SecretError as error:
            found.append(document.problem(path, str(error)))
    return found


def warnings_of(config: Config, document: Document, base: Path) -> list[ConfigProblem]:
    """What works but should not stay so."""
    found = []
    for path, ref in _secrets(config):
        try:
            warning = exposure(ref, base)
        except SecretError:
            continue
        if warning:
            found.append(document.problem(path, warning))
    return found


def secret_names(config: Config) -> frozenset[str]:
    """The environment variables that `config` names as secrets: no agent is to inherit them."""
    found: set[str] = set()
    tables: list[object] = [*config.sinks.values(), *config.plugins.values()]
    while tables:
        table = tables.pop()
        if isinstance(table, dict):
            name = table.get("env")
            if isinstance(name, str) and len(table) == 1:
                found.add(name)
            tables += table.values()
        elif isinstance(table, list):
            tables += table
    return frozenset(found | {ref.env for _, ref in _secrets(config) if ref.env is not None})


def unreadable_secrets(
    options: Struct, document: Document, path: KeyPath, base: Path, environ: Mapping[str, str] | None = None
) -> list[ConfigProblem]:
    """Problems of the secrets that decoded options refer to, however deep; each is read once to see that it can be."""
    found = []
    for name in options.__struct_fields__:
        for at, value in _flat(getattr(options, name), (*path, name)):
            if isinstance(value, SecretRef):
                try:
                    resolve(value, base, environ)
                except SecretError as error:
                    found.append(document.problem(at, str(error)))
            elif isinstance(value, Struct):
                found += unreadable_secrets(value, document, at, base, environ)
    return found


def _flat(value: object, path: KeyPath) -> Iterator[tuple[KeyPath, object]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(item, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _flat(item, (*path, index))
    else:
        yield path, value


def _secrets(config: Config) -> Iterator[tuple[KeyPath, SecretRef]]:
    for index, peer in enumerate(config.nodes):
        if peer.token is not None:
            yield ("nodes", index, "token"), peer.token


def _duplicates(document: Document, section: str, names: Iterable[str]) -> Iterator[ConfigProblem]:
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if name and name in first:
            reason = f"the name {name!r} is taken by {section}[{first[name]}]"
            yield document.problem((section, index, "name"), reason, "names are unique")
        first.setdefault(name, index)


def _node(node: NodeSection, document: Document) -> Iterator[ConfigProblem]:
    seen: set[str] = set()
    for index, address in enumerate(node.bind):
        path: KeyPath = ("node", "bind", index)
        try:
            spelled = str(ipaddress.ip_address(address))
        except ValueError:
            hint = "write 127.0.0.1 or ::1" if address == "localhost" else "for example 127.0.0.1, 0.0.0.0 or ::"
            yield document.problem(path, f"{shown(address)} is not an IP address", hint)
            continue
        if spelled in seen:
            yield document.problem(path, f"{spelled} is there twice")
        seen.add(spelled)
    if node.mesh_port and node.mesh_port == node.port:
        yield document.problem(("node", "mesh_port"), "is the same as 'port'", "peers need a listener of their own")


def _slot(slot: SlotSection, path: KeyPath, document: Document) -> Iterator[ConfigProblem]:
    if slot.command is not None and not (slot.command and slot.command[0]):
        yield document.problem((*path, "command"), "is empty", "leave it out for the kind's own command")
    for key, words in (("command", slot.command or []), ("args", slot.args), ("cwd", [slot.cwd])):
        if any("\0" in word for word in words):
            yield document.problem((*path, key), "has a NUL character, which no program can be given")
    if not slot.cwd:
        yield document.problem((*path, "cwd"), "is empty", "leave it out for the home folder")
    elif expand_cwd(slot.cwd, Path("/")) is None:
        yield document.problem((*path, "cwd"), "starts with the home folder of a user who does not exist")
    for name, value in slot.env.items():
        if not name or "=" in name or "\0" in name + value:
            yield document.problem((*path, "env", name), "can't be an environment variable")
    for label in slot.labels:
        if not label or ":" in label:
            yield document.problem((*path, "labels", label), "a label's name must not be empty or have ':' in it")


def _peer(peer: PeerSection, path: KeyPath, document: Document) -> Iterator[ConfigProblem]:
    if not peer.url:
        return
    here = (*path, "url")
    try:
        url = urlsplit(peer.url)
        host, _ = url.hostname, url.port
    except ValueError:
        host, url = None, urlsplit("")
    if url.scheme not in ("http", "https") or not host:
        yield document.problem(here, "is not a URL of a node", "for example http://100.64.0.2:9451")
        return
    if url.username is not None or url.password is not None:
        yield document.problem(here, "must not hold a user name or password", "'token' names the credential")
    elif url.path not in ("", "/") or url.query or url.fragment:
        yield document.problem(here, "must end after the port")
    if url.scheme == "http" and not peer.insecure and not may_be_private(host):
        hint = "use https, or set insecure = true if the network is private"
        yield document.problem(here, "plain http is only for loopback and tailnet addresses", hint)


def _lists(config: Config, document: Document) -> Iterator[ConfigProblem]:
    if not config.auth.providers:
        yield document.problem(("auth", "providers"), "is empty: nobody could come in", 'the default is ["token"]')
    lists: list[tuple[KeyPath, list[str]]] = [
        (("auth", "providers"), config.auth.providers),
        (("node", "plugin_order"), config.node.plugin_order),
        *((("slots", index, "filters"), slot.filters) for index, slot in enumerate(config.slots)),
    ]
    for path, names in lists:
        for index, name in enumerate(names):
            if name in names[:index]:
                yield document.problem((*path, index), f"{name!r} is there twice")
    for key, texts in (("allowed_hosts", config.http.allowed_hosts), ("allowed_origins", config.http.allowed_origins)):
        for index, text in enumerate(texts):
            if not text.strip() or any(character.isspace() for character in text):
                yield document.problem(("http", key, index), "is empty or has a space in it")
            elif key == "allowed_origins" and not _is_origin(text):
                yield document.problem(
                    ("http", key, index), "is not an origin", "for example https://host.example:8443"
                )


def _is_origin(text: str) -> bool:
    try:
        url = urlsplit(text)
        _ = url.port
    except ValueError:
        return False
    return bool(url.scheme and url.netloc) and not (url.path or url.query or url.fragment)


def expand_cwd(cwd: str, base: Path) -> str | None:
    """A slot's working folder as an absolute path, or None if its `~user` does not exist."""
    expanded = os.path.expanduser(cwd)
    if expanded.startswith("~") and not os.path.lexists(base / expanded):
        return None
    return str(base / expanded)
