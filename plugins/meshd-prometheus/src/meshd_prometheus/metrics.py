"""What is measured, read from the daemon at each scrape.

Names follow the conventions of Prometheus: base units, `_total` for counters. Labels have few values: slots, sinks,
peers and plugins of the configuration, states; never a text, an id or a person.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from meshd_core.api import ActivityState, DaemonView, SlotDetail, Status

Sample = tuple[Sequence[str], float]
_SLOT = ("slot", "kind")

_SLOT_COUNTERS: tuple[tuple[str, str, Callable[[SlotDetail], float]], ...] = (
    ("read_bytes", "Bytes read from the slot's terminal.", lambda slot: slot.counters.bytes_read),
    ("written_bytes", "Bytes written to the slot's terminal.", lambda slot: slot.counters.bytes_written),
    ("lines", "Lines made of the slot's output.", lambda slot: slot.counters.lines),
    ("gaps", "Times that output of the slot was lost.", lambda slot: slot.counters.gaps),
    ("injects", "Prompts accepted for the slot.", lambda slot: slot.counters.injects),
    ("filter_errors", "Failures of the slot's output filters.", lambda slot: slot.counters.filter_errors),
    ("restarts", "Restarts of the slot's agent after an exit.", lambda slot: slot.restarts),
)
_SINK_COUNTERS = (
    ("sent_events", "Events that the sink's receiver has taken.", "sent"),
    ("dropped_events", "Events lost because the sink's queue was full.", "dropped"),
    ("rejected_events", "Events that the receiver refused for good.", "rejected"),
    ("retries", "Deliveries that were tried again.", "retries"),
)
_NODE_COUNTERS = (
    ("http_requests", "HTTP requests answered.", "requests"),
    ("http_requests_failed", "HTTP requests answered with a status of 500 or above.", "requests_failed"),
    ("http_auth_failures", "Wrong credentials.", "auth_failures"),
    ("audit_lost_lines", "Lines of the audit log that could not be written.", "audit_lost"),
)


class NodeMetrics(Collector):
    """Makes every metric anew for each scrape: there is nothing that could go stale."""

    def __init__(self, daemon: DaemonView) -> None:
        self._daemon = daemon

    def collect(self) -> Iterator[Metric]:
        yield from self._node()
        yield from self._slots()
        yield from self._sinks()
        yield from self._peers()
        plugins = [((one.name,), one.status == "active" and one.error is None) for one in self._daemon.plugins()]
        yield _gauge("plugin_up", "Whether the plugin works.", ("plugin",), plugins)

    def _node(self) -> Iterator[Metric]:
        node, counters = self._daemon.node(), self._daemon.counters()
        labels = ("node", "version", "protocol")
        yield _gauge("build_info", "The daemon; always 1.", labels, [((node.name, node.version, node.protocol), 1)])
        started = datetime.fromisoformat(node.started_at).timestamp()
        yield _gauge("start_time_seconds", "When the daemon started, Unix time.", (), [((), started)])
        yield _gauge("http_connections", "Open HTTP connections.", (), [((), counters.connections)])
        yield _gauge("http_streams", "Open event streams.", (), [((), counters.streams)])
        for name, text, field in _NODE_COUNTERS:
            yield _counter(name, text, (), [((), getattr(counters, field))])

    def _slots(self) -> Iterator[Metric]:
        slots = [self._daemon.slot(slot.name) for slot in self._daemon.slots()]
        yield _states("slot_status", "The slot's status: 1 for the one that it has.", Status, slots, _status)
        yield _states("slot_activity", "The agent's activity: 1 for the one it has.", ActivityState, slots, _activity)
        queued = [((slot.name, slot.kind), slot.queue) for slot in slots]
        yield _gauge("slot_queued_injects", "Prompts that wait to be typed.", _SLOT, queued)
        for name, text, value in _SLOT_COUNTERS:
            yield _counter(f"slot_{name}", text, _SLOT, [((slot.name, slot.kind), value(slot)) for slot in slots])

    def _sinks(self) -> Iterator[Metric]:
        sinks = self._daemon.sinks()
        labels = ("sink", "plugin")
        up = [((sink.name, sink.plugin), sink.status == "ok") for sink in sinks]
        yield _gauge("sink_up", "Whether the sink delivers.", labels, up)
        queued = [((sink.name, sink.plugin), sink.queued) for sink in sinks]
        yield _gauge("sink_queued_events", "Events that wait to be sent.", labels, queued)
        for name, text, field in _SINK_COUNTERS:
            values = [((sink.name, sink.plugin), getattr(sink, field)) for sink in sinks]
            yield _counter(f"sink_{name}", text, labels, values)

    def _peers(self) -> Iterator[Metric]:
        peers = [peer for peer in self._daemon.peers() if not peer.self]
        up = [((peer.node,), peer.reachable) for peer in peers]
        yield _gauge("peer_up", "Whether the node of the mesh answered its last probe.", ("peer",), up)
        rtt = [((peer.node,), peer.rtt_ms / 1000) for peer in peers if peer.rtt_ms is not None]
        yield _gauge("peer_round_trip_seconds", "How long the last probe that worked took.", ("peer",), rtt)
        skew = [((peer.node,), peer.skew_s) for peer in peers if peer.skew_s is not None]
        yield _gauge("peer_clock_skew_seconds", "How far the peer's clock is ahead.", ("peer",), skew)


def _status(slot: SlotDetail) -> str:
    return slot.status


def _activity(slot: SlotDetail) -> str:
    return slot.activity.state


def _states(
    name: str, text: str, states: Any, slots: Iterable[SlotDetail], state_of: Callable[[SlotDetail], str]
) -> Metric:
    label = name.rpartition("_")[2]
    samples = [((slot.name, slot.kind, state), state == state_of(slot)) for slot in slots for state in get_args(states)]
    return _gauge(name, text, (*_SLOT, label), samples)


def _gauge(name: str, text: str, labels: Sequence[str], samples: Iterable[Sample]) -> Metric:
    return _filled(GaugeMetricFamily(f"meshd_{name}", text, labels=labels), samples)


def _counter(name: str, text: str, labels: Sequence[str], samples: Iterable[Sample]) -> Metric:
    return _filled(CounterMetricFamily(f"meshd_{name}", text, labels=labels), samples)


def _filled(family: Any, samples: Iterable[Sample]) -> Metric:
    for values, value in samples:
        family.add_metric(list(values), float(value))
    result: Metric = family
    return result
