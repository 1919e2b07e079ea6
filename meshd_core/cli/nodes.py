"""The nodes of the mesh: as the daemon sees them, and looked at one by one."""

import asyncio
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
from msgspec import Struct

from meshd_core.cli.connect import client_command
from meshd_core.cli.render import age, show_json, show_table
from meshd_core.client import MeshdClient
from meshd_core.exit_codes import ExitCode
from meshd_core.types import NodeList, Outcome, PeerInfo, Scope

if TYPE_CHECKING:
    from meshd_core.mesh.peer import Peer

_MUCH_SKEW_S = 5.0


class Checked(Struct, frozen=True):
    """What one node of the table answered to a look; `scope` is that of this node's token for it."""

    node: str
    url: str
    ok: bool
    reachable: bool
    rtt_ms: float | None
    skew_s: float | None
    version: str | None
    scope: Scope | None
    error: str | None
    outcome: Outcome = "ok"
    remarks: tuple[str, ...] = ()


class CheckedList(Struct, frozen=True):
    nodes: list[Checked]


@click.group(invoke_without_command=True)
@client_command
def nodes(client: MeshdClient, as_json: bool) -> None:
    """List the nodes of the mesh, as the daemon sees them.

    \b
    meshd nodes
    meshd nodes check
    meshd nodes --json | jq -r '.nodes[] | select(.reachable | not) | .node'
    """
    if click.get_current_context().invoked_subcommand is not None:
        return
    found = client.mesh_nodes()
    if as_json:
        show_json(NodeList(found))
        return
    show_table(("NODE", "URL", "STATE", "RTT", "SEEN", "VERSION", ""), [_row(node) for node in found])


def _row(node: PeerInfo) -> tuple[str, ...]:
    state = "this" if node.self else "ok" if node.reachable else "away"
    rtt = "-" if node.rtt_ms is None or node.self else f"{node.rtt_ms:.0f} ms"
    seen = "-" if node.self else f"{age(node.last_seen)} ago" if node.last_seen else "never"
    skew = f"its clock is {node.skew_s:+.0f} s off" if abs(node.skew_s or 0.0) > _MUCH_SKEW_S else ""
    return node.node, node.url, state, rtt, seen, node.version or "-", node.error or skew


@nodes.command()
@click.argument("names", nargs=-1, metavar="[NODE]...")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="The file [env: MESHD_CONFIG].")
@click.option("--json", "as_json", is_flag=True, help="JSON for programs.")
def check(names: tuple[str, ...], config: Path | None, as_json: bool) -> None:
    """Ask each node of the configuration who it is, with the token that the file names. Needs no daemon here.

    Exits 1 if any of them can't be used.

    \b
    meshd nodes check
    meshd nodes check mac2 --json
    """
    from meshd_core.config.load import load_config
    from meshd_core.config.places import Places, default_node_name
    from meshd_core.config.secrets import resolve
    from meshd_core.mesh.peer import Peer

    places = Places.find(config)
    loaded = load_config(places.config_file, explicit=places.config_given)
    sections = [section for section in loaded.config.nodes if not names or section.name in names]
    if unknown := set(names) - {section.name for section in sections}:
        raise click.UsageError(f"{places.config_file} has no node {', '.join(sorted(unknown))}.")
    own = loaded.config.node.name or default_node_name()
    read_secret = partial(resolve, base=loaded.base)
    found = asyncio.run(_all(Peer(section, own, read_secret) for section in sections))
    if as_json:
        show_json(CheckedList(found))
    elif not found:
        click.echo(f"{places.config_file} has no other nodes; 'meshd peer add' adds one")
    else:
        show_table(
            ("NODE", "URL", "STATE", "RTT", "SKEW", "VERSION", "TOKEN", ""), [_checked_row(one) for one in found]
        )
    if not all(one.ok for one in found):
        raise click.exceptions.Exit(ExitCode.FAILURE)


def _checked_row(one: Checked) -> tuple[str, ...]:
    return (
        one.node, one.url, "ok" if one.ok else "away" if one.error else "check",
        "-" if one.rtt_ms is None else f"{one.rtt_ms:.0f} ms", "-" if one.skew_s is None else f"{one.skew_s:+.1f} s",
        one.version or "-", one.scope or "-", one.error or "; ".join(one.remarks),
    )  # fmt: skip


async def _all(peers: "Iterable[Peer]") -> list[Checked]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(look(peer)) for peer in peers]
    return [task.result() for task in tasks]


async def look(peer: "Peer") -> Checked:
    """Ask one node who it is and what this node's token for it may do. Never raises; closes the peer."""
    from meshd_core.errors import PeerError, PeerTimeout

    scope: Scope | None = None
    outcome: Outcome = "ok"
    try:
        await peer.probe()
        scope = await _scope(peer)
        info = peer.info()
    except (PeerError, PeerTimeout) as error:
        info = peer.info()
        outcome = cast(Outcome, error.details["outcome"])
    finally:
        await peer.close()
    remarks = tuple(_remarks(scope, info)) if info.error is None else ()
    ok = info.reachable and scope not in (None, "read")
    return Checked(
        info.node,
        info.url,
        ok,
        info.reachable,
        info.rtt_ms,
        info.skew_s,
        info.version,
        scope,
        info.error,
        outcome,
        remarks,
    )


async def _scope(peer: "Peer") -> Scope | None:
    """The scope of the token, as a refusal tells it; what is asked for changes nothing, whoever may do it."""
    from meshd_core.client.answers import BadAnswer, error_from
    from meshd_core.types import SCOPES

    for method, target in (("GET", "/tokens"), ("POST", "/answer/-")):
        answer = await peer.ask(method, target)
        if answer.status == 403:
            try:
                held = error_from(403, answer.body, peer.url).details.get("held")
            except BadAnswer:
                return None
            return next((scope for scope in SCOPES if scope == held), None)
        if answer.status == 200:
            return "admin"
    return "approve"  # on a port for nodes there is nothing that more would be needed for


def _remarks(scope: Scope | None, info: PeerInfo) -> Iterable[str]:
    if scope == "read":
        yield "the token can't inject: prompts are not sent there"
    if scope in ("control", "admin"):
        yield f"the token has the scope {scope}, more than a node needs: inject is enough"
    if abs(info.skew_s or 0.0) > _MUCH_SKEW_S:
        yield f"its clock is {info.skew_s:+.0f} s off"
