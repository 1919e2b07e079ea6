"""From what tailscaled knows of a peer to what it may do here. Every doubt is a no."""

from fnmatch import fnmatchcase

import msgspec
from msgspec import Struct

from meshd_core.api import SCOPES, Denied, Principal, Scope
from meshd_tailscale.config import Allow, TailscaleConfig, Words, check_slots
from meshd_tailscale.local_api import Whois

_TAGGED = "tagged-devices"
"""The login name of every device with tags: it says nothing about who it is."""


class Grant(Struct, frozen=True, forbid_unknown_fields=True):
    """One value of the capability `<domain>/cap/meshd` in the tailnet's policy."""

    scope: Scope
    slots: Words = ("*",)

    def __post_init__(self) -> None:
        check_slots(self.slots)


def principal_of(peer: Whois, config: TailscaleConfig) -> Principal:
    """What `peer` may do: the first rule that matches, else its grants. Raises Denied with the reason."""
    subject = _subject(peer)
    for rule in config.allow:
        if _matches(rule, peer):
            return _principal(peer, subject, rule.scope, rule.slots)
    granted = _granted(peer, config)
    if granted is None:
        raise Denied(f"{subject} of the tailnet has no rule and no grant")
    return _principal(peer, subject, granted.scope, granted.slots)


def _subject(peer: Whois) -> str:
    if peer.node.tags:
        return f"tailscale:{peer.node.name.removesuffix('.') or peer.node.stable_id}"
    return f"tailscale:{peer.user_profile.login_name}"


def _principal(peer: Whois, subject: str, scope: Scope, slots: tuple[str, ...]) -> Principal:
    stable = f"node:{peer.node.stable_id}" if peer.node.tags else f"user:{peer.user_profile.id}"
    return Principal(subject=subject, scope=scope, slots=slots, provider="tailscale", id=f"tailscale:{stable}")


def _matches(rule: Allow, peer: Whois) -> bool:
    if peer.node.tags:
        return any(tag in rule.tags for tag in peer.node.tags)
    login = peer.user_profile.login_name
    if login == _TAGGED:
        return False
    # People of another tailnet are meant only where they are named.
    return login in rule.users or (not peer.node.sharer and any(fnmatchcase(login, glob) for glob in rule.users))


def _granted(peer: Whois, config: TailscaleConfig) -> Grant | None:
    """The highest scope granted, with the slots of all grants of that scope."""
    values = (peer.cap_map or {}).get(config.capability or "")
    if config.capability is None or not values:
        return None
    try:
        grants = msgspec.convert(values, tuple[Grant, ...])
    except msgspec.ValidationError as error:
        raise Denied(f"a grant of {config.capability} can't be read: {error}") from error
    highest = max((grant.scope for grant in grants), key=SCOPES.index)
    slots = tuple(dict.fromkeys(glob for grant in grants if grant.scope == highest for glob in grant.slots))
    return Grant(scope=highest, slots=slots)
