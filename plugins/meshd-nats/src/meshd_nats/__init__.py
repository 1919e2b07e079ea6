"""The engine `nats`: prompts from a work queue in NATS JetStream, each typed into one idle slot of the fleet."""

from collections.abc import Iterable

from msgspec import Struct

from meshd_core.api import Engine, PluginContext, hookimpl
from meshd_nats.options import NatsOptions


@hookimpl
def meshd_config_type() -> type[Struct]:
    """`[plugins.nats]`."""
    return NatsOptions


@hookimpl
def meshd_engines(ctx: PluginContext) -> Iterable[Engine]:
    """The engine `nats`, once `servers` says where NATS is."""
    if not ctx.config.servers:
        return ()
    from meshd_nats.engine import NatsEngine  # here: the client takes 0.25 s to import

    return (NatsEngine(ctx),)
