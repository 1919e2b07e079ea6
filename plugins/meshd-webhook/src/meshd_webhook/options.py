"""The section's keys, and which URL may be used."""

import ipaddress
from typing import Annotated, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

from meshd_core.api import SecretRef
from meshd_webhook.selection import WORDS, check

Format = Literal["json", "slack", "discord", "ntfy"]
FOR_PEOPLE = (
    "dialog.opened", "exit.failed", "exit.unknown", "inject.failed", "inject.unknown", "slot.failed", "slot.limited",
    "slot.stuck",
)  # fmt: skip
"""What a chat is told by default: what somebody should look at."""


class WebhookOptions(Struct, frozen=True, forbid_unknown_fields=True):
    url: str | SecretRef
    """A reference for a URL that is itself the credential, as Slack's and Discord's are."""
    format: Format = "json"
    events: list[str] | None = None
    """`type` or `type.word`. Default: all for json, what a person should look at for the others."""
    slots: list[str] = field(default_factory=lambda: ["*"])
    """Globs of slots' names; the node's own events are not subject to it."""
    secret: SecretRef | None = None
    """Signs json: `whsec_` and base64, as Standard Webhooks has it; several, separated by spaces, all sign."""
    token: SecretRef | None = None
    """Sent as `Authorization: Bearer`."""
    insecure: bool = False
    """Whether plain http may leave this machine."""
    timeout_s: Annotated[float, Meta(gt=0, le=300)] = 15.0
    """For one request."""

    def __post_init__(self) -> None:
        if isinstance(self.url, str):
            check_url(self.url, self.insecure)
        for selector in self.events or ():
            check(selector)
        if self.secret is not None and self.format != "json":
            raise ValueError(f"secret: only json is signed; {self.format} knows no signature")

    @property
    def selectors(self) -> tuple[str, ...]:
        if self.events is not None:
            return tuple(self.events)
        return tuple(WORDS) if self.format == "json" else FOR_PEOPLE


def check_url(url: str, insecure: bool) -> None:
    """Raises ValueError, which never holds the URL: it may be a credential."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("url: is not a URL") from None
    if parts.scheme not in ("http", "https") or not host or any(c.isspace() or not c.isprintable() for c in url):
        raise ValueError("url: is not an http or https URL")
    if parts.username is not None or parts.password is not None:
        raise ValueError("url: must not hold a user name or password; 'token' names a credential")
    if parts.scheme == "http" and not insecure and not _is_loopback(host):
        raise ValueError("url: plain http is only for loopback; use https, or set insecure = true")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
