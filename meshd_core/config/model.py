"""The types of `meshd.toml`; docs/protocol.md section 6 is the reference.

Cross-checks (duplicate names, unknown kinds, unreadable secrets) are in `load`; here is only what a type can say.
"""

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from meshd_core.contracts.secrets import SecretRef
from meshd_core.types import Name, RestartPolicy, SlotApi

Port = Annotated[int, Meta(ge=0, le=65535)]
DEFAULT_PORT = 9451


class NodeSection(Struct, frozen=True, forbid_unknown_fields=True):
    name: Name | None = None
    """Default: the host's short name, lower-cased."""
    bind: list[str] = field(default_factory=lambda: ["0.0.0.0", "::"])  # noqa: S104 - authentication is always on
    port: Port = DEFAULT_PORT
    mesh_port: Port | None = None
    required_plugins: list[Name] = field(default_factory=list)
    """Plugins without which the daemon does not start; what must not fail open (a guard of prompts) belongs here."""
    plugin_order: list[Name] = field(default_factory=list)
    """Plugins that are asked first, in this order; the others follow by name."""


class SlotSection(Struct, frozen=True, forbid_unknown_fields=True):
    name: Name
    kind: Name
    command: list[str] | None = None
    args: list[str] = field(default_factory=list)
    cwd: str = "~"
    env: dict[str, str] = field(default_factory=dict)
    autostart: bool = True
    restart: RestartPolicy = "on-failure"
    labels: dict[str, str] = field(default_factory=dict)
    filters: list[Name] = field(default_factory=list)
    rows: Annotated[int, Meta(ge=2, le=500)] = 40
    cols: Annotated[int, Meta(ge=10, le=1000)] = 120
    api: SlotApi = "none"
    """What the slot's own agent may do over the API: `read` or `inject` hand it a token of that scope."""
    options: dict[str, Any] = field(default_factory=dict)
    """The kind's own options, decoded by the type that the kind declares."""


class PeerSection(Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[nodes]]` entry; read and checked now, used by the mesh."""

    name: Name
    url: str
    token: SecretRef | None = None
    insecure: bool = False


class AuthSection(Struct, frozen=True, forbid_unknown_fields=True):
    providers: list[Name] = field(default_factory=lambda: ["token"])


class HttpSection(Struct, frozen=True, forbid_unknown_fields=True):
    allowed_hosts: list[str] = field(default_factory=list)
    allowed_origins: list[str] = field(default_factory=list)
    audit_text: bool = False
    """Whether the audit log keeps the text of prompts, not only their size and SHA-256."""


class DeliverySection(Struct, frozen=True, forbid_unknown_fields=True):
    """The table `delivery` of a `[sinks.<name>]`: how core delivers to it. Every other key is the sink's own."""

    batch_events: Annotated[int, Meta(ge=1, le=10_000)] = 200
    """A batch is sent once it has so many events, or `batch_bytes`, or its oldest event has waited `batch_wait_s`."""
    batch_bytes: Annotated[int, Meta(ge=1024, le=16_777_216)] = 262_144
    batch_wait_s: Annotated[float, Meta(ge=0, le=3600)] = 2.0
    queue_events: Annotated[int, Meta(ge=10, le=1_000_000)] = 10_000
    """What may wait for the receiver; beyond it, and beyond `queue_bytes`, the oldest is dropped."""
    queue_bytes: Annotated[int, Meta(ge=65_536, le=1_073_741_824)] = 8_388_608
    timeout_s: Annotated[float, Meta(gt=0, le=600)] = 30.0
    """For one batch."""


class Config(Struct, frozen=True, forbid_unknown_fields=True):
    node: NodeSection = field(default_factory=NodeSection)
    slots: list[SlotSection] = field(default_factory=list)
    nodes: list[PeerSection] = field(default_factory=list)
    auth: AuthSection = field(default_factory=AuthSection)
    http: HttpSection = field(default_factory=HttpSection)
    sinks: dict[Name, dict[str, Any]] = field(default_factory=dict)
    plugins: dict[Name, dict[str, Any]] = field(default_factory=dict)
