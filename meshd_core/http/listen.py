"""Listening sockets, bound before anything else starts: a port in use must be told at once, by who and what to do.

IPv4 and IPv6 get a socket each (IPV6_V6ONLY), so that "::" never takes IPv4's place; a kernel without IPv6 is tolerated
for the default "::". The Unix socket is 0600 from the moment it exists.
"""

import errno
import ipaddress
import logging
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from meshd_core.exit_codes import ExitCode, StartupError
from meshd_core.http.listening_socket import ListeningSocket
from meshd_core.http.port_owner import owner_of_port
from meshd_core.unix_socket import socket_address

BACKLOG = 1024
_PORT_TRIES = 20

log = logging.getLogger(__name__)


class Listeners(Struct, frozen=True):
    """Bound and listening: who connects early waits. `local`: nothing but this machine can connect."""

    tcp: tuple[ListeningSocket, ...]
    unix: ListeningSocket | None
    unix_path: Path | None
    addresses: tuple[str, ...]
    port: int
    local: bool
    mesh: tuple[ListeningSocket, ...] = ()
    """Where only what other nodes need is served."""

    @property
    def sockets(self) -> list[ListeningSocket]:
        return [*self.tcp, *self.mesh, *([] if self.unix is None else [self.unix])]

    @property
    def mesh_port(self) -> int | None:
        return int(self.mesh[0].getsockname()[1]) if self.mesh else None

    @property
    def mesh_urls(self) -> tuple[str, ...]:
        return tuple(f"http://{_url_host(str(sock.getsockname()[0]))}:{self.mesh_port}" for sock in self.mesh)

    @property
    def urls(self) -> tuple[str, ...]:
        """One URL for each address; for "any address" the loopback one, which surely works here."""
        return tuple(f"http://{_url_host(address)}:{self.port}" for address in self.addresses)

    def close(self) -> None:
        """Close all and remove the Unix socket's name."""
        for sock in self.sockets:
            sock.close()
        if self.unix_path is not None:
            self.unix_path.unlink(missing_ok=True)


def listen(bind: Sequence[str], port: int, unix_path: Path | None, mesh_port: int | None = None) -> Listeners:
    """Bind every address, twice with a `mesh_port`, and the Unix socket. Port 0 picks one that is free on all. Raises
    StartupError.
    """
    bound = tcp = _bind_all(bind, port)
    mesh: list[ListeningSocket] = []
    try:
        if mesh_port is not None:
            mesh = _bind_all(bind, mesh_port)
            bound = [*tcp, *mesh]
        unix = None if unix_path is None else _bind_unix(unix_path)
    except StartupError:
        for sock in bound:
            sock.close()
        raise
    addresses = tuple(str(sock.getsockname()[0]) for sock in tcp)
    bound_port = int(tcp[0].getsockname()[1]) if tcp else 0
    local = all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in addresses)
    return Listeners(tuple(tcp), unix, unix_path, addresses, bound_port, local, tuple(mesh))


def _bind_all(bind: Sequence[str], port: int) -> list[ListeningSocket]:
    for tries_left in reversed(range(_PORT_TRIES)):
        sockets: list[ListeningSocket] = []
        wanted = port
        try:
            for address in bind:
                sock = _bind_one(address, wanted, required=bind == [address] or not _any_v6(address))
                if sock is not None:
                    sockets.append(sock)
                    wanted = wanted or int(sock.getsockname()[1])
            if bind and not sockets:
                raise StartupError("none of the addresses in [node] bind can be used", ExitCode.PORT_IN_USE)
            return sockets
        except StartupError:
            for sock in sockets:
                sock.close()
            # The port that was free on one address may be taken on another: try a new one.
            if port or not sockets or not tries_left:
                raise
    raise StartupError("no port is free on all addresses", ExitCode.PORT_IN_USE)


def _bind_one(address: str, port: int, required: bool) -> ListeningSocket | None:
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(address.partition("%")[0]).version == 6 else socket.AF_INET
    except ValueError:
        message = f"{address!r} in [node] bind is not an IP address"
        raise StartupError(f"{message}: write one, as 127.0.0.1 or ::1", ExitCode.CONFIG) from None
    sock = None
    try:
        sock = ListeningSocket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind((address, port))
        # SO_REUSEADDR lets two sockets bind; only listening shows whether the port is taken.
        sock.listen(BACKLOG)
    except OSError as error:
        if sock is not None:
            sock.close()
        missing = error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT)
        if missing and family == socket.AF_INET6 and not required:
            log.info("no IPv6 here", extra={"address": address, "reason": error.strerror})
            return None
        raise StartupError(_why(address, port, error), ExitCode.PORT_IN_USE) from error
    return sock


def _bind_unix(path: Path) -> ListeningSocket:
    """Bind `path`, taking the place of a socket that a dead daemon left (the state's lock rules out a living one)."""
    sock = ListeningSocket(socket.AF_UNIX, socket.SOCK_STREAM)
    old_mask = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        with socket_address(path) as address:
            sock.bind(address)
        os.chmod(path, 0o600)
        sock.setblocking(False)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        way_out = "--runtime-dir or MESHD_RUNTIME_DIR names another folder"
        message = f"the Unix socket {path} can't be made: {error.strerror or error}; {way_out}"
        raise StartupError(message, ExitCode.PORT_IN_USE) from error
    finally:
        os.umask(old_mask)
    return sock


def _why(address: str, port: int, error: OSError) -> str:
    place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    if error.errno == errno.EADDRINUSE:
        owner = owner_of_port(port)
        by = f" by {owner}" if owner else ""
        return f"{place} is in use{by}: stop that, or set another port in [node] (0 picks a free one)"
    if error.errno == errno.EACCES:
        return f"{place} is not allowed for this user: use a port from 1024 up in [node]"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this machine has no address {address}: mend 'bind' in [node]"
    return f"{place} can't be used: {error.strerror}"


def _any_v6(address: str) -> bool:
    return address in ("::", "::1")


def _url_host(address: str) -> str:
    if address == "0.0.0.0":  # noqa: S104 - read, not bound
        return "127.0.0.1"
    if address == "::":
        return "[::1]"
    return f"[{address}]" if ":" in address else address
