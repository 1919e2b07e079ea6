"""The sink: its name and its options; what it sends with is imported when a `[sinks]` section uses it."""

from msgspec import Struct

from meshd_core.api import FleetSink, SinkConnection, SinkContext
from meshd_supabase.options import SupabaseOptions


class SupabaseSink(FleetSink):
    """Rows in meshd_nodes, meshd_slots and meshd_events."""

    name = "supabase"

    def options_type(self) -> type[Struct]:
        return SupabaseOptions

    def open(self, context: SinkContext) -> SinkConnection:
        from meshd_supabase.connection import SupabaseConnection  # here: its HTTP library takes 0.2 s to import

        return SupabaseConnection(context)
