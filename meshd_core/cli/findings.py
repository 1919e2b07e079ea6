"""What `meshd doctor` looks at: each check yields findings, and a fault of one ends no other."""

import os
import platform
import shutil
import socket
import stat
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from msgspec import Struct

from meshd_core import __version__
from meshd_core.cli.local import LocalView, local_view
from meshd_core.client import BadAnswer, MeshdClient, Unreachable
from meshd_core.config.check import CheckedConfig, check_against
from meshd_core.config.places import Places
from meshd_core.config.problems import ConfigErrors
from meshd_core.errors import MeshdError
from meshd_core.types import TokenInfo
from meshd_core.unix_socket import socket_address

LOW_DISK_BYTES = 1024**3
NO_DISK_BYTES = 64 * 1024**2
SOON = timedelta(days=7)
MAX_SKEW_S = 5.0
_CONNECT_S = 1.0


class Finding(Struct, frozen=True):
    """One result: what was looked at, whether it is fine, and the way out if it isn't."""

    check: str
    status: Literal["ok", "warning", "broken"]
    message: str
    hint: str | None = None


def of_machine(places: Places) -> Iterator[Finding]:
    """Python, folders, disk, IPv6."""
    is_new = sys.version_info >= (3, 11)
    what = f"Python {platform.python_version()}, meshd {__version__}"
    yield Finding("python", "ok" if is_new else "broken", what, None if is_new else "install Python 3.11 or newer")
    for name, folder in (("state", places.state_dir), ("runtime", places.runtime_dir)):
        yield _folder(name, folder)
    existing = next(folder for folder in (places.state_dir, *places.state_dir.parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    shown = f"{free / 1024**3:.1f} GiB are free for {places.state_dir}"
    status: Literal["ok", "warning", "broken"]
    status = "broken" if free < NO_DISK_BYTES else "warning" if free < LOW_DISK_BYTES else "ok"
    yield Finding("disk", status, shown, None if status == "ok" else "free space, or move the state: --state-dir")
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            yield Finding("ipv6", "ok", "IPv6 works")
    except OSError as error:
        hint = "nothing to do if this machine is to have none"
        yield Finding("ipv6", "warning", f"there is no IPv6 loopback: {error.strerror}", hint)


def of_configuration(config: Path | None, state_dir: Path | None) -> tuple[list[Finding], CheckedConfig | None]:
    """The file, the plugins, and the programs of the slots."""
    try:
        view = local_view(config, state_dir)
    except ConfigErrors as errors:
        return [Finding("config", "broken", str(problem), "meshd config check") for problem in errors.problems], None
    found = list(_plugins(view))
    name = str(view.places.config_file)
    try:
        checked = check_against(view.loaded, view.host)
    except ConfigErrors as errors:
        found += [Finding("config", "broken", str(problem), "meshd config check") for problem in errors.problems]
        return found, None
    if view.loaded.path is None:
        found.append(Finding("config", "warning", f"there is no {name}: all is default", "meshd init writes one"))
    else:
        found.append(Finding("config", "ok", f"{name}: {len(checked.slots)} slots, {len(checked.sinks)} sinks"))
    found += [Finding("config", "warning", str(warning)) for warning in checked.warnings]
    from meshd_core.daemon.assembly import start_obstacles

    obstacles = list(start_obstacles(checked, view.host))
    found += [Finding("agents", "broken", obstacle.message, obstacle.hint) for obstacle in obstacles]
    if not obstacles:
        found.append(Finding("agents", "ok", "programs and folders of all slots that start by themselves are there"))
    return found, checked


def of_daemon(client: MeshdClient, places: Places, checked: CheckedConfig | None) -> Iterator[Finding]:
    """The daemon, or what would keep one from starting."""
    try:
        health, node = client.health(), client.node()
    except Unreachable as error:
        yield Finding("daemon", "warning", str(error), error.hint)
        if client.is_local:
            yield from _without_daemon(places, checked)
        return
    except (MeshdError, BadAnswer) as error:
        yield Finding("daemon", "broken", str(error), error.hint)
        return
    is_ok = health.status == "ok"
    status: Literal["ok", "broken"] = "ok" if is_ok else "broken"
    hint = {"degraded": "a plugin failed: meshd plugin list", "draining": "it is ending"}.get(health.status)
    yield Finding("daemon", status, f"{node.name} answers at {client.address}: {health.status}", hint)
    if node.version != __version__:
        what = f"the daemon is of version {node.version}, this command of {__version__}"
        yield Finding("version", "warning", what, "restart the daemon: its agents go on")
    for check in (_slots, _peers, _sinks, _tokens):
        try:
            yield from check(client)
        except (MeshdError, Unreachable, BadAnswer) as error:
            yield Finding(check.__name__.strip("_"), "warning", f"can't be looked at: {error}", error.hint)


def _folder(name: str, path: Path) -> Finding:
    try:
        status = path.stat()
    except FileNotFoundError:
        return Finding(name, "ok", f"{path} is not there yet: the first start makes it")
    except OSError as error:
        return Finding(name, "broken", f"{path} can't be looked at: {error.strerror}", "name another folder")
    if not stat.S_ISDIR(status.st_mode):
        return Finding(name, "broken", f"{path} is not a folder", "remove it, or name another folder")
    if status.st_uid != os.geteuid():
        return Finding(name, "broken", f"{path} belongs to user id {status.st_uid}, not to you", "name another folder")
    if status.st_mode & 0o077:
        open_to: Literal["warning", "broken"] = "broken" if status.st_mode & 0o022 else "warning"
        mode = stat.S_IMODE(status.st_mode)
        return Finding(name, open_to, f"{path} is open to others (mode {mode:o})", f"chmod 700 {path}")
    if not os.access(path, os.W_OK | os.X_OK):
        return Finding(name, "broken", f"{path} can't be written to", f"chmod 700 {path}")
    return Finding(name, "ok", f"{path} is yours alone")


def _plugins(view: LocalView) -> Iterator[Finding]:
    infos = view.host.infos()
    bad = [info for info in infos if info.error and info.status in ("failed", "incompatible", "active")]
    for info in bad:
        yield Finding("plugins", "broken", f"{info.name} ({info.distribution} {info.version}): {info.error}",
                      f"install another version of {info.distribution}, or set enabled = false")  # fmt: skip
    if not bad:
        active = sum(info.status == "active" for info in infos)
        yield Finding("plugins", "ok", f"{active} of {len(infos)} plugins are active")


def _without_daemon(places: Places, checked: CheckedConfig | None) -> Iterator[Finding]:
    if _answers(places.state_dir / "keeper.sock"):
        what = "the keeper lives without a daemon: agents may go on"
        yield Finding("keeper", "warning", what, "'meshd serve' takes them over, 'meshd down' ends them")
    if checked is None:
        return
    node = checked.config.node
    for address in node.bind if node.port else []:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_STREAM) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((address, node.port))
        except OSError as error:
            what = f"{address} port {node.port} can't be bound: {error.strerror}"
            yield Finding("port", "broken", what, "end what uses it, or set another port or bind in [node]")
        else:
            yield Finding("port", "ok", f"{address} port {node.port} is free")


def _slots(client: MeshdClient) -> Iterator[Finding]:
    for slot in client.slots():
        if slot.status == "failed" or slot.error:
            what = f"{slot.name} is {slot.status}: {slot.error or 'it ended too often'}"
            yield Finding("slots", "broken", what, f"meshd show {slot.name}")
        elif slot.status == "running" and slot.activity.state in ("onboarding", "waiting"):
            what = f"{slot.name} is {slot.activity.state}: it needs a person"
            yield Finding("slots", "warning", what, f"meshd screen {slot.name}")


def _peers(client: MeshdClient) -> Iterator[Finding]:
    for peer in client.mesh_nodes():
        if peer.self:
            continue
        if not peer.reachable or peer.error:
            yield Finding("peers", "broken", f"{peer.node}: {peer.error or 'not reached'}", "meshd nodes check")
        elif abs(peer.skew_s or 0.0) > MAX_SKEW_S:
            what = f"the clock of {peer.node} differs by {peer.skew_s:.0f} s"
            yield Finding("peers", "warning", what, "have both machines keep time (NTP)")
        else:
            yield Finding("peers", "ok", f"{peer.node} answers in {peer.rtt_ms or 0.0:.0f} ms")


def _sinks(client: MeshdClient) -> Iterator[Finding]:
    for sink in client.sinks():
        if sink.status == "ok":
            yield Finding("sinks", "ok", f"{sink.name}: {sink.sent} events sent")
        else:
            broken: Literal["warning", "broken"] = "broken" if sink.status in ("paused", "failed") else "warning"
            yield Finding("sinks", broken, f"{sink.name} is {sink.status}: {sink.error or 'no reason known'}",
                          "meshd sinks")  # fmt: skip


def _tokens(client: MeshdClient) -> Iterator[Finding]:
    now = datetime.now(UTC)
    for token in client.tokens():
        if token.expires is None:
            continue
        ends = datetime.fromisoformat(token.expires)
        hint = f"make another: {_remade(token)}"
        if ends <= now:
            yield Finding("tokens", "warning", f"token {_named(token)} has expired", f"meshd token revoke {token.kid}")
        elif ends - now < SOON:
            yield Finding("tokens", "warning", f"token {_named(token)} expires on {ends:%Y-%m-%d}", hint)


def _named(token: TokenInfo) -> str:
    return f"{token.kid} ({token.label})" if token.label else token.kid


def _remade(token: TokenInfo) -> str:
    return f"meshd token create --scope {token.scope}" + "".join(f" --slots '{glob}'" for glob in token.slots)


def _answers(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as sock, socket_address(path) as address:
            sock.settimeout(_CONNECT_S)
            sock.connect(address)
    except OSError:
        return False
    return True
