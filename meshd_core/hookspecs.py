"""The hooks that plugins implement; docs/plugins.md documents each, and a test keeps the two the same.

All are plain `def`: hooks return objects, and the objects have the async methods. `async def` is refused at load.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import pluggy
from msgspec import Struct

from meshd_core.contracts.auth import AuthProvider, Principal
from meshd_core.contracts.context import Denial, InjectCheck, PluginContext
from meshd_core.contracts.daemon import DaemonInfo, Engine
from meshd_core.contracts.filters import OutputFilter
from meshd_core.contracts.kinds import AgentKind, Launch, LaunchSpec
from meshd_core.contracts.routes import Route
from meshd_core.contracts.sinks import FleetSink

PROJECT = "meshd"
ENTRY_POINT_GROUP = "meshd_core.v1"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def meshd_config_type() -> type[Struct]:  # type: ignore[empty-body]
    """The type of the plugin's `[plugins.<name>]` table: a msgspec Struct with `forbid_unknown_fields`."""


@hookspec
def meshd_agent_kinds(ctx: PluginContext) -> Iterable[AgentKind]:  # type: ignore[empty-body]
    """Agent kinds that this plugin brings."""


@hookspec
def meshd_output_filters(ctx: PluginContext) -> Iterable[OutputFilter]:  # type: ignore[empty-body]
    """Output filters that this plugin brings."""


@hookspec
def meshd_auth_providers(ctx: PluginContext) -> Iterable[AuthProvider]:  # type: ignore[empty-body]
    """Auth providers that this plugin brings."""


@hookspec
def meshd_fleet_sinks(ctx: PluginContext) -> Iterable[FleetSink]:  # type: ignore[empty-body]
    """Fleet sinks that this plugin brings."""


@hookspec
def meshd_engines(ctx: PluginContext) -> Iterable[Engine]:  # type: ignore[empty-body]
    """Work-queue engines that this plugin brings."""


@hookspec
def meshd_routes(ctx: PluginContext) -> Iterable[Route]:  # type: ignore[empty-body]
    """HTTP routes under `/x/<plugin>/`."""


@hookspec
def meshd_cli(ctx: PluginContext, group: Any) -> None:
    """Add commands to the `meshd` command (`group` is its click Group). No daemon runs in this process."""


@hookspec(firstresult=True)
def meshd_prepare_launch(ctx: PluginContext, kind: AgentKind, spec: LaunchSpec) -> Launch | None:
    """How to start an agent; the first answer counts and core's own (`kind.launch(spec)`) comes last."""


@hookspec(firstresult=True)
def meshd_check_inject(
    ctx: PluginContext, slot: Mapping[str, Any], principal: Principal, request: InjectCheck
) -> Denial | None:
    """Whether a prompt may be typed: the first denial counts; an exception denies. `slot`: name, kind, labels."""


@hookspec(historic=True)
def meshd_daemon_ready(info: DaemonInfo) -> None:
    """The daemon is up: adoption is done, the listeners are open."""
