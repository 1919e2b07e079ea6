"""Events as core makes them, with what a test cares about."""

from typing import Any

from meshd_core.clock import uuid7
from meshd_core.contracts.events import (
    DialogData,
    EventData,
    ExitData,
    FleetEvent,
    HeartbeatData,
    InjectData,
    NodeData,
    SlotData,
)
from meshd_core.types import Activity, Dialog, DialogOption, Evidence, ExitStatus, SlotCounts

AT = "2026-11-25T10:00:00.000Z"
BOOTS = ("01M80000000000000000000000", "01M90000000000000000000000")


def event(data: EventData, seq: int, *, slot: str | None = None, node: str = "n1", boot: int = 0) -> FleetEvent:
    return FleetEvent(id=uuid7(), node=node, boot_id=BOOTS[boot], seq=seq, at=AT, slot=slot, data=data)


def node(seq: int, said: str = "up", **more: Any) -> FleetEvent:
    data = NodeData(
        event=said, version="0.1.0", protocol="1.0", started_at=AT, slots=["s1", "s2"], urls=["http://127.0.0.1:9451"]
    )  # type: ignore[arg-type]
    return event(data, seq, **more)


def heartbeat(seq: int, uptime_s: float = 1.0, **more: Any) -> FleetEvent:
    counts = SlotCounts(total=2, by_status={"running": 2}, by_activity={"idle": 2})
    return event(HeartbeatData(version="0.1.0", uptime_s=uptime_s, slots=counts, load=[0.1, 0.2, 0.3]), seq, **more)


def slot(seq: int, name: str = "s1", *, title: str = "demo", removed: bool = False, **more: Any) -> FleetEvent:
    seen = Evidence("screen", "demo-idle", "demo>")
    data = SlotData(
        kind="demo", labels={"team": "web"}, status="running", activity=Activity("idle", AT, 0.9, (seen,)),
        dialog=None, title=title, pid=4711, restarts=0, queue=0, agent_version=None, error=None, config="live",
        removed=removed,
    )  # fmt: skip
    return event(data, seq, slot=name, **more)


def waiting(seq: int, question: str, name: str = "s1", **more: Any) -> FleetEvent:
    asked = Dialog("d1", "approval", question, AT, options=(DialogOption("y", "accept", True),))
    data = SlotData(
        kind="demo", labels={}, status="running", activity=Activity("waiting", AT, 0.9), dialog=asked, title="",
        pid=4711, restarts=0, queue=1, agent_version="1.2", error=None, config="live",
    )  # fmt: skip
    return event(data, seq, slot=name, **more)


def dialog(seq: int, **more: Any) -> FleetEvent:
    return event(DialogData("opened", Dialog("d1", "approval", "Go on?", AT)), seq, slot="s1", **more)


def inject(seq: int, stage: str = "completed", receipt: str = "01R@n1", **more: Any) -> FleetEvent:
    data = InjectData(
        receipt=receipt, stage=stage, stages={"accepted": AT}, queue_position=None, reply_chars=12, error=None,
        capped=False,
    )  # type: ignore[arg-type]  # fmt: skip
    return event(data, seq, slot="s1", **more)


def exited(seq: int, **more: Any) -> FleetEvent:
    return event(ExitData(ExitStatus(AT, code=3), pid=4711), seq, slot="s1", **more)
