"""Answers a scrape. A registry of its own: what else uses the library in this process doesn't show."""

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import generate_latest

from meshd_core.api import DaemonView, RouteReply, RouteRequest
from meshd_prometheus.metrics import NodeMetrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The text format that every scraper reads."""


class Exporter:
    def __init__(self, daemon: DaemonView) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(NodeMetrics(daemon))
        ProcessCollector(registry=self._registry)

    async def scrape(self, request: RouteRequest) -> RouteReply:
        """All metrics, as they are now. Metrics name all slots, so a token for some of them gets none."""
        if not request.sees_all:
            body = b'{"error":{"code":"forbidden","message":"metrics are for tokens that reach all slots"}}'
            return RouteReply(body, 403)
        return RouteReply(generate_latest(self._registry), content_type=CONTENT_TYPE)
