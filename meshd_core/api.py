"""The plugin API: the only module of core that plugins import.

Its major version is in the entry-point group, `meshd_core.v1`: within it, names are added, never changed or removed.
"""

from meshd_core.contracts.auth import AuthProvider, Caller, Denied, Principal
from meshd_core.contracts.context import Denial, InjectCheck, PluginContext
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
from meshd_core.contracts.sinks import (
    DaemonInfo,
    Engine,
    FleetEvent,
    FleetSink,
    Route,
    RouteReply,
    RouteRequest,
)
from meshd_core.hookspecs import hookimpl
from meshd_core.types import DialogOption, Evidence

__all__ = [
    "AgentKind",
    "AgentSession",
    "AuthProvider",
    "Caller",
    "DaemonInfo",
    "Denial",
    "Denied",
    "DialogOption",
    "Engine",
    "Evidence",
    "ExitRecipe",
    "FilterStream",
    "FleetEvent",
    "FleetSink",
    "InjectCheck",
    "Keys",
    "KindProfile",
    "Launch",
    "LaunchSpec",
    "Observation",
    "OutputFilter",
    "PluginContext",
    "Principal",
    "Route",
    "RouteReply",
    "RouteRequest",
    "Rule",
    "Run",
    "SanitizeRules",
    "SubmitRecipe",
    "TranscriptRules",
    "Turn",
    "hookimpl",
]
