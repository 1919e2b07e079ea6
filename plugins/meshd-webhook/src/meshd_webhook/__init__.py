"""The fleet sink `webhook`: events as signed JSON to a URL, or as messages to Slack, Discord and ntfy."""

from collections.abc import Iterable

from meshd_core.api import FleetSink, PluginContext, hookimpl
from meshd_webhook.sink import WebhookSink


@hookimpl
def meshd_fleet_sinks(ctx: PluginContext) -> Iterable[FleetSink]:
    """The sink `webhook`."""
    return (WebhookSink(),)
