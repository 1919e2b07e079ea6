"""`[plugins.nats]`."""

import ipaddress
import re
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct, field

from meshd_core.api import SecretRef

Word = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{1,64}\Z")]


class NatsOptions(Struct, frozen=True, forbid_unknown_fields=True):
    servers: list[str] = field(default_factory=list)
    """URLs, as `tls://nats.example.com:4222`; none: the engine is off."""
    slots: list[str] = field(default_factory=lambda: ["*"])
    """Globs of the slots that take jobs."""
    prefix: Word = "meshd"
    """Of subjects and streams: fleets that share a server have different ones."""
    token: SecretRef | None = None
    user: str | None = None
    password: SecretRef | None = None
    creds: SecretRef | None = None
    """The content of a `.creds` file: JWT and seed."""
    insecure: bool = False
    """Allow connections without TLS to other machines."""
    ack_wait_s: Annotated[float, Meta(ge=3, le=3600)] = 60.0
    """A job whose node was silent for so long is looked after: it is put back if nobody began it, else marked lost."""
    max_deliver: Annotated[int, Meta(ge=1, le=100)] = 1
    """More than 1: a job whose node is lost is given to another, which may type it a second time."""
    replicas: Annotated[int, Meta(ge=1, le=5)] = 1
    """Of the streams, if this node makes them."""
    keep_days: Annotated[float, Meta(gt=0, le=3650)] = 7.0
    """How long results are kept, and a job's id with them."""

    def __post_init__(self) -> None:
        for server in self.servers:
            _check(server, self.insecure)
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password belong together")
        if sum(given is not None for given in (self.token, self.password, self.creds)) > 1:
            raise ValueError("token, user with password, and creds exclude each other")


def _check(server: str, insecure: bool) -> None:
    try:
        url = urlsplit(server)
        host, _ = url.hostname, url.port
    except ValueError:
        raise ValueError("servers: has something that is no URL") from None
    if url.scheme not in ("nats", "tls") or not host or re.search(r"\s", server):
        raise ValueError("servers: must be URLs as 'tls://nats.example.com:4222'")
    if url.username is not None or url.password is not None:
        raise ValueError("servers: must not hold a credential: 'token', 'password' and 'creds' name one")
    if url.scheme == "nats" and not insecure and not _is_loopback(host):
        raise ValueError("servers: use tls:// for another machine, or set insecure = true")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
