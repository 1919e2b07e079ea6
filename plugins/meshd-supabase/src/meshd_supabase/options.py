"""The keys of a `[sinks.<name>]` section with `plugin = "supabase"`."""

import ipaddress
import re
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from msgspec import Meta, Struct

from meshd_core.api import SecretRef
from meshd_supabase.credentials import PrivilegedKey, check_unprivileged


class SupabaseOptions(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """README.md explains each. Raises ValueError for what would leak a credential or can't work."""

    url: str
    token: SecretRef
    apikey: str | SecretRef | None = None
    rest_path: str = "/rest/v1"
    schema: Annotated[str, Meta(min_length=1, max_length=63)] | None = None
    insecure: bool = False

    def __post_init__(self) -> None:
        _check_url(self.url, self.insecure)
        if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", self.rest_path):
            raise ValueError("rest_path: is not a path as '/rest/v1', nor empty")
        if self.schema is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.schema):
            raise ValueError("schema: is not the name of a schema")
        if isinstance(self.apikey, str):
            if not re.fullmatch(r"[\x21-\x7e]+", self.apikey):
                raise ValueError("apikey: is not a key")
            try:
                check_unprivileged(self.apikey)
            except PrivilegedKey as error:
                raise ValueError(f"apikey: {error}") from None

    @property
    def base(self) -> str:
        """The URL that tables are under, without a slash at its end."""
        return self.url.rstrip("/") + self.rest_path


def _check_url(text: str, insecure: bool) -> None:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise ValueError("url: is not a URL") from None
    if url.scheme not in ("http", "https") or not url.hostname or port == 0:
        raise ValueError("url: is not a URL as 'https://<project>.supabase.co'")
    if url.username is not None or url.password is not None:
        raise ValueError("url: must not hold a user or password")
    if url.query or url.fragment or not text.isascii() or re.search(r"[\x00-\x20\x7f\\]", text):
        raise ValueError("url: must be a plain address, without a query")
    if url.scheme == "http" and not insecure and not _is_loopback(url):
        raise ValueError("url: plain http would show the token to the network: use https, or set 'insecure = true'")


def _is_loopback(url: SplitResult) -> bool:
    if url.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(url.hostname or "").is_loopback
    except ValueError:
        return False
