"""`[plugins.tailscale]`: who of the tailnet may do what."""

import re
import sys
from typing import Annotated

from msgspec import Meta, Struct, field

from meshd_core.api import Scope

# Source: paths.DefaultTailscaledSocket of tailscale.com. The macOS app from the store has no socket.
_DARWIN_SOCKET = "/var/run/tailscaled.socket"
_SOCKET = "/var/run/tailscale/tailscaled.sock"
_SLOT_GLOB = re.compile(r"[a-z0-9*?._-]{1,80}(?:@[a-z0-9*?._-]{1,80})?")
_TAG = re.compile(r"tag:[A-Za-z][A-Za-z0-9-]*")

Words = Annotated[tuple[str, ...], Meta(min_length=1, max_length=1000)]


def check_slots(slots: tuple[str, ...]) -> None:
    """Raises ValueError for what is no glob on slots."""
    for glob in slots:
        if _SLOT_GLOB.fullmatch(glob) is None:
            raise ValueError(f"{glob!r} is not a slot glob: write it as 'claude-*', 'claude-1@mac2' or '*@*'")


class Allow(Struct, frozen=True, forbid_unknown_fields=True):
    """One rule: whom it speaks of, and what they may do. The first that matches counts."""

    scope: Scope
    users: tuple[str, ...] = ()
    """Login names; `*` stands for any characters, but not for people of another tailnet."""
    tags: tuple[str, ...] = ()
    """Tags; a device with tags has no user."""
    slots: Words = ("*",)

    def __post_init__(self) -> None:
        if not self.users and not self.tags:
            raise ValueError("a rule needs 'users' or 'tags'")
        for tag in self.tags:
            if _TAG.fullmatch(tag) is None:
                raise ValueError(f"{tag!r} is not a tag: write it as 'tag:ci'")
        if "" in self.users:
            raise ValueError("a login name is empty")
        check_slots(self.slots)


class TailscaleConfig(Struct, frozen=True, forbid_unknown_fields=True):
    """Without rules and without `domain` nobody gets in."""

    allow: tuple[Allow, ...] = field(default_factory=tuple)
    domain: str | None = None
    """If set, grants of the tailnet's policy count: `CapMap["<domain>/cap/meshd"]`. Rules come before grants."""
    socket: str = _DARWIN_SOCKET if sys.platform == "darwin" else _SOCKET
    """Path of tailscaled's LocalAPI."""
    local_peers: bool = False
    """Whether processes of this machine, agents among them, may use the identity of the machine itself."""

    def __post_init__(self) -> None:
        if self.domain is not None and re.fullmatch(r"[a-z0-9.-]{1,253}", self.domain) is None:
            raise ValueError("domain: write it as 'example.com'")
        if not self.socket.startswith("/"):
            raise ValueError("socket: must be an absolute path")

    @property
    def capability(self) -> str | None:
        return None if self.domain is None else f"{self.domain}/cap/meshd"
