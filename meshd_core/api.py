"""The plugin API: the only module of core that plugins import.

Its major version is in the entry-point group, `meshd_core.v1`: within it, names are added, never changed or removed.
"""

from meshd_core.agent_records.jsonl import FIRST_READ_BYTES, Follower, decode_lines, read_records, search_records
from meshd_core.agent_records.npm_package import npm_version
from meshd_core.agent_records.open_files import open_files
from meshd_core.agent_records.turns import (
    CLOCK_SLACK_MS,
    REPLY_POLL_S,
    Answer,
    epoch_ms,
    own_prompt,
    same_prompt,
    wait_for_reply,
)
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
    "CLOCK_SLACK_MS",
    "FIRST_READ_BYTES",
    "REPLY_POLL_S",
    "ActivityState",
    "AgentKind",
    "AgentSession",
    "Answer",
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
    "Follower",
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
    "decode_lines",
    "epoch_ms",
    "hookimpl",
    "npm_version",
    "open_files",
    "own_prompt",
    "read_records",
    "same_prompt",
    "search_records",
    "wait_for_reply",
]
