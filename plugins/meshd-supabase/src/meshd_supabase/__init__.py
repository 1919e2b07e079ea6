"""The fleet sink `supabase`: a node's states and events as rows behind PostgREST; and `meshd supabase jwt`."""

from collections.abc import Iterable
from typing import Any

from meshd_core.api import FleetSink, PluginContext, hookimpl
from meshd_supabase.sink import SupabaseSink


@hookimpl
def meshd_fleet_sinks(ctx: PluginContext) -> Iterable[FleetSink]:
    """The sink `supabase`."""
    return (SupabaseSink(),)


@hookimpl
def meshd_cli(group: Any) -> None:
    """The commands `meshd supabase ...`."""
    from meshd_supabase.commands import supabase  # here, because the daemon does without it

    group.add_command(supabase)
