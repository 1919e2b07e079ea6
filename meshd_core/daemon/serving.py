"""The HTTP side of the daemon: addresses first, the app once the node is there, the server as a task."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from meshd_core.auth.chain import AuthChain
from meshd_core.auth.tokens import TokenStore
from meshd_core.config.check import CheckedConfig
from meshd_core.config.model import HttpSection
from meshd_core.config.places import Places
from meshd_core.exit_codes import ExitCode, StartupError
from meshd_core.fleet.fleet import Fleet
from meshd_core.http.app import AppParts, HttpApp
from meshd_core.http.audit import AuditLog
from meshd_core.http.gate import GateRules, gate_rules
from meshd_core.http.listen import Listeners, listen
from meshd_core.http.server import HttpServer
from meshd_core.http.service import NodeService
from meshd_core.mesh.mesh import Mesh


def open_listeners(config: CheckedConfig, places: Places, chain: AuthChain) -> Listeners:
    """Bind all addresses and judge the auth providers by them. Raises StartupError."""
    node = config.config.node
    listeners = listen(node.bind, node.port, places.runtime_dir / "meshd.sock", node.mesh_port)
    try:
        chain.check(listeners.local)
    except ValueError as error:
        listeners.close()
        raise StartupError(str(error), ExitCode.CONFIG) from error
    return listeners


@asynccontextmanager
async def serving(
    service: NodeService, mesh: Mesh, fleet: Fleet, listeners: Listeners, chain: AuthChain, tokens: TokenStore,
    config: CheckedConfig, places: Places,
) -> AsyncIterator[HttpServer]:  # fmt: skip
    """The server, accepting; leaving ends it within 10 s, open streams included."""
    http = config.config.http
    audit = AuditLog(places.state_dir / "audit.jsonl", keep_text=http.audit_text)
    rules = rules_of(http, service.name, listeners)
    parts = AppParts(
        service, chain, rules, mesh, fleet, tokens, audit, urls=listeners.urls, mesh_port=listeners.mesh_port
    )
    server = HttpServer(HttpApp(parts))
    _write_address(places.state_dir / "address", listeners.urls)
    _write_address(places.state_dir / "mesh_address", listeners.mesh_urls)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.serve_on(listeners.sockets), name="http")
        await server.ready.wait()
        try:
            yield server
        finally:
            server.stop()
            await asyncio.wait({task})


def rules_of(http: HttpSection, node: str, listeners: Listeners) -> GateRules:
    """Names and origins that are this daemon's own."""
    names = {node, os.uname().nodename, *listeners.addresses}
    return gate_rules(names, http.allowed_hosts, http.allowed_origins)


def _write_address(path: Path, urls: tuple[str, ...]) -> None:
    """Where this daemon listens, one URL a line, for whoever asked for port 0."""
    temporary = path.with_suffix(".new")
    temporary.write_text("".join(f"{url}\n" for url in urls))
    temporary.chmod(0o600)
    temporary.replace(path)
