"""The fleet sink `jsonl`: events as lines of JSON in a file."""

from collections.abc import Iterable

from meshd_core.api import FleetSink, PluginContext, hookimpl
from meshd_jsonl.sink import JsonlSink


@hookimpl
def meshd_fleet_sinks(ctx: PluginContext) -> Iterable[FleetSink]:
    """The sink `jsonl`."""
    return (JsonlSink(),)
