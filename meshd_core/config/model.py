"""The types of `meshd.toml`; docs/protocol.md section 6 is the reference.

Cross-checks (duplicate names, unknown kinds, unreadable secrets) are in `load`; here is only what a type can say.
"""

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from meshd_core.contracts.secrets import SecretRef
from meshd_core.types import Name, RawSurfaces, RestartPolicy, SlotApi

Port = Annotated[int, Meta(ge=0, le=65535)]
DEFAULT_PORT = 9451


class NodeSection(Struct, frozen=True, forbid_unknown_fields=True):
    """This node and where it listens."""

    name: Name | None = None
    """Default: the host's short name, lower-cased."""
    bind: list[str] = field(default_factory=lambda: ["0.0.0.0", "::"])  # noqa: S104 - authentication is always on
    """Addresses to listen on. A kernel without IPv6 is tolerated."""
    port: Port = DEFAULT_PORT
    """0 picks a free one; `address` in the state folder has it."""
    mesh_port: Port | None = None
    """A second listener, for peers alone: it serves only what they need. Default: none."""
    required_plugins: list[Name] = field(default_factory=list)
    """Plugins without which the daemon does not start; what must not fail open (a guard of prompts) belongs here."""
    plugin_order: list[Name] = field(default_factory=list)
    """Plugins that are asked first, in this order; the others follow by name."""


class SlotSection(Struct, frozen=True, forbid_unknown_fields=True):
    """One agent in a terminal of its own."""

    name: Name
    """What clients address it by; unique on the node."""
    kind: Name
    """The agent kind, of an installed plugin."""
    command: list[str] | None = None
    """Program and arguments. Default: the kind's own."""
    args: list[str] = field(default_factory=list)
    """Further arguments, after the kind's own."""
    cwd: str = "~"
    """The agent's working folder; a relative one starts from the configuration's folder."""
    env: dict[str, str] = field(default_factory=dict)
    """Environment variables, added to the daemon's own."""
    autostart: bool = True
    """Whether it is started with each daemon, also if it was stopped by hand before."""
    restart: RestartPolicy = "on-failure"
    """What follows an exit that nobody asked for."""
    resume: bool = False
    """Whether the agent's last conversation goes on when it is started again unasked: after such an exit, or with a
    daemon that finds it gone."""
    labels: dict[str, str] = field(default_factory=dict)
    """For selecting slots, as `team = "web"`."""
    filters: list[Name] = field(default_factory=list)
    """Output filters, in the order in which they judge the agent's text."""
    rows: Annotated[int, Meta(ge=2, le=500)] = 40
    """Height of the terminal."""
    cols: Annotated[int, Meta(ge=10, le=1000)] = 120
    """Width of the terminal."""
    raw: RawSurfaces = "auto"
    """Whether raw bytes are given out although a filter that fails closed is set: `auto` refuses, `allow` does."""
    api: SlotApi = "none"
    """What the slot's own agent may do over the API: `read` or `inject` hand it a token of that scope."""
    options: dict[str, Any] = field(default_factory=dict)
    """The kind's own options, decoded by the type that the kind declares."""


class PeerSection(Struct, frozen=True, forbid_unknown_fields=True):
    """Another node of the mesh, which this one asks."""

    name: Name
    """The name that the node gives itself; nothing but a probe is sent to one of another name."""
    url: str
    """As `http://100.64.0.2:9451`. Plain http is for loopback and tailnet addresses."""
    token: SecretRef | None = None
    """This node's token on the other one, of scope `inject` at most unless it may approve there."""
    insecure: bool = False
    """Allows plain http to any address: only in a network that is private otherwise."""


class AuthSection(Struct, frozen=True, forbid_unknown_fields=True):
    """Who may come in."""

    providers: list[Name] = field(default_factory=lambda: ["token"])
    """Asked in this order; the first that recognises a credential decides."""


class HttpSection(Struct, frozen=True, forbid_unknown_fields=True):
    """What browsers and proxies may do."""

    allowed_hosts: list[str] = field(default_factory=list)
    """Names in `Host` beside the node's own, as behind a proxy."""
    allowed_origins: list[str] = field(default_factory=list)
    """Origins of web pages that may ask, as `https://host.example:8443`."""
    audit_text: bool = False
    """Whether the audit log keeps the text of prompts, not only their size and SHA-256."""


class DeliverySection(Struct, frozen=True, forbid_unknown_fields=True):
    """The table `delivery` of a `[sinks.<name>]`: how core delivers to it. Every other key is the sink's own."""

    batch_events: Annotated[int, Meta(ge=1, le=10_000)] = 200
    """A batch is sent once it has so many events, or `batch_bytes`, or its oldest event has waited `batch_wait_s`."""
    batch_bytes: Annotated[int, Meta(ge=1024, le=16_777_216)] = 262_144
    """See `batch_events`."""
    batch_wait_s: Annotated[float, Meta(ge=0, le=3600)] = 2.0
    """See `batch_events`."""
    queue_events: Annotated[int, Meta(ge=10, le=1_000_000)] = 10_000
    """What may wait for the receiver; beyond it, and beyond `queue_bytes`, the oldest is dropped."""
    queue_bytes: Annotated[int, Meta(ge=65_536, le=1_073_741_824)] = 8_388_608
    """See `queue_events`."""
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
