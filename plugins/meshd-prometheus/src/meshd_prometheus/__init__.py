"""`GET /metrics`: the node, its slots, sinks and peers as metrics for Prometheus."""

from collections.abc import Iterable

from meshd_core.api import PluginContext, Route, hookimpl


@hookimpl
def meshd_routes(ctx: PluginContext) -> Iterable[Route]:
    """The route `/metrics`."""
    from meshd_prometheus.exporter import Exporter  # here, because commands do without it

    return (Route("/metrics", ("GET",), "read", Exporter(ctx.daemon).scrape),)
