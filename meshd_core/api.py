"""The plugin API: the only module of core that plugins import.

Its major version is in the entry-point group, `meshd_core.v1`: within it, names are added, never changed or removed.
"""

from meshd_core.contracts.auth import AuthProvider, Caller, Denied, Principal
from meshd_core.contracts.context import Denial, InjectCheck, PluginContext
from meshd_core.contracts.daemon import DaemonCounters, DaemonInfo, DaemonView, Engine, EngineDaemon
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
from meshd_core.contracts.filters import FilterStream, OutputFilter
from meshd_core.contracts.kinds import (
    AgentKind,
    AgentSession,
    ExitRecipe,
    Keys,
    KindProfile,
    Launch,
    LaunchSpec,
    Observation,
    Rule,
    Run,
    SanitizeRules,
    SubmitRecipe,
    TranscriptRules,
    Turn,
)
from meshd_core.contracts.routes import Route, RouteReply, RouteRequest
from meshd_core.contracts.secrets import SecretRef
from meshd_core.contracts.sinks import FleetSink, SinkBusy, SinkConnection, SinkContext, SinkPaused, SinkRejected
from meshd_core.errors import MeshdError
from meshd_core.hookspecs import hookimpl
from meshd_core.types import (
    ActivityState,
    DialogOption,
    Evidence,
    InjectRequest,
    PeerInfo,
    Receipt,
    SinkInfo,
    Slot,
    SlotDetail,
    Stage,
    Status,
)

__all__ = [
    "ActivityState",
    "AgentKind",
    "AgentSession",
    "AuthProvider",
    "Caller",
    "DaemonCounters",
    "DaemonInfo",
    "DaemonView",
    "Denial",
    "Denied",
    "DialogData",
    "DialogOption",
    "Engine",
    "EngineDaemon",
    "EventData",
    "Evidence",
    "ExitData",
    "ExitRecipe",
    "FilterStream",
    "FleetEvent",
    "FleetSink",
    "HeartbeatData",
    "InjectCheck",
    "InjectData",
    "InjectRequest",
    "Keys",
    "KindProfile",
    "Launch",
    "LaunchSpec",
    "MeshdError",
    "NodeData",
    "Observation",
    "OutputFilter",
    "PeerInfo",
    "PluginContext",
    "Principal",
    "Receipt",
    "Route",
    "RouteReply",
    "RouteRequest",
    "Rule",
    "Run",
    "SanitizeRules",
    "SecretRef",
    "SinkBusy",
    "SinkConnection",
    "SinkContext",
    "SinkInfo",
    "SinkPaused",
    "SinkRejected",
    "Slot",
    "SlotData",
    "SlotDetail",
    "Stage",
    "Status",
    "SubmitRecipe",
    "TranscriptRules",
    "Turn",
    "hookimpl",
]
