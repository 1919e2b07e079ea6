"""The sink: its name and its options; what it sends with is imported when a `[sinks]` section uses it."""

from msgspec import Struct

from meshd_core.api import FleetSink, SinkConnection, SinkContext
from meshd_webhook.options import WebhookOptions


class WebhookSink(FleetSink):
    """A URL that takes events."""

    name = "webhook"

    def options_type(self) -> type[Struct]:
        return WebhookOptions

    def open(self, context: SinkContext) -> SinkConnection:
        from meshd_webhook.connection import WebhookConnection  # here: its HTTP library takes 0.2 s to import

        return WebhookConnection(context)
