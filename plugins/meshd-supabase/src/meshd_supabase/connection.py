"""One connection to PostgREST: batches as upserts, with the node's own JWT."""

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import aiohttp
from msgspec import Struct

from meshd_core.api import FleetEvent, SecretRef, SinkConnection, SinkContext, SinkPaused
from meshd_supabase.answers import judge, not_postgrest
from meshd_supabase.credentials import PrivilegedKey, check_unprivileged, claimed_node
from meshd_supabase.options import SupabaseOptions
from meshd_supabase.rows import Upsert, encoded, upserts

CONNECT_TIMEOUT_S = 10.0
"""For the name, the connection and TLS."""
SILENCE_TIMEOUT_S = 20.0
"""Without a byte of the answer; core's timeout for the whole batch is the section's."""
MAX_ANSWER_BYTES = 16 * 1024


class Credentials(Struct, frozen=True, repr_omit_defaults=True):
    """Read anew for each batch, so that a rotated one is used at once. Never shown."""

    token: str
    apikey: str | None

    def __repr__(self) -> str:
        return "<credentials>"

    def secrets(self) -> tuple[str, ...]:
        return (self.token,) if self.apikey is None else (self.token, self.apikey)


class SupabaseConnection(SinkConnection):
    """One receiver. Every request has a timeout, an answer a size, and nothing is redirected."""

    def __init__(self, context: SinkContext) -> None:
        self._context = context
        self._options: SupabaseOptions = context.options
        self._session: aiohttp.ClientSession | None = None

    async def send(self, batch: Sequence[FleetEvent]) -> None:
        credentials = await asyncio.to_thread(self._credentials)
        for upsert in upserts(batch):
            await self._post(upsert, credentials)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, upsert: Upsert, credentials: Credentials) -> None:
        resolution = "merge-duplicates" if upsert.newest_wins else "ignore-duplicates"
        headers = {
            "Authorization": f"Bearer {credentials.token}",
            "Content-Type": "application/json",
            "Prefer": f"resolution={resolution},return=minimal,missing=default",
        }
        if credentials.apikey is not None:
            headers["apikey"] = credentials.apikey
        if self._options.schema is not None:
            headers["Content-Profile"] = self._options.schema
        query = {"on_conflict": upsert.key, "columns": upsert.columns}
        url = f"{self._options.base}/{upsert.table}"
        try:
            async with self._open().post(
                url, params=query, headers=headers, data=encoded(upsert.rows), allow_redirects=False
            ) as answer:
                body = await _read(answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # Made anew: aiohttp's own errors may hold the request's headers.
            raise ConnectionError(f"{url}: {_cause(error, credentials)}") from None
        if answer.status not in (200, 201, 204):
            raise judge(answer.status, answer.headers.get("Retry-After"), body, url, credentials.secrets())
        if "Content-Range" not in answer.headers and "Preference-Applied" not in answer.headers:
            raise not_postgrest(answer.status, url)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S, sock_read=SILENCE_TIMEOUT_S),
                connector=aiohttp.TCPConnector(limit=1),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # an answer's size is what it is on the wire
                headers={"Accept-Encoding": "identity", "User-Agent": "meshd-supabase"},
            )
        return self._session

    def _credentials(self) -> Credentials:
        """Raises SinkPaused for what can't be had, or must not be sent."""
        token = self._read("token", self._options.token)
        node = claimed_node(token)
        if node is not None and node != self._context.node:
            raise SinkPaused(f"token: is made for node {node!r}, and this is {self._context.node!r}")
        key = self._options.apikey
        return Credentials(token, self._read("apikey", key) if isinstance(key, SecretRef) else key)

    def _read(self, option: str, ref: SecretRef) -> str:
        try:
            secret = self._context.read_secret(ref)
            check_unprivileged(secret)
        except PrivilegedKey as error:
            raise SinkPaused(f"{option}: {error}") from None
        except ValueError as error:
            raise SinkPaused(f"{option}: {error}") from None
        if not re.fullmatch(r"[\x21-\x7e]+", secret):
            raise SinkPaused(f"{option}: what it points to is not one word of printable ASCII")
        return str(secret)


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    """The beginning of the answer's body; of a longer one the rest is never read."""
    data = bytearray()
    async for chunk in answer.content.iter_chunked(MAX_ANSWER_BYTES):
        data += chunk
        if len(data) >= MAX_ANSWER_BYTES:
            answer.close()
            break
    return bytes(data[:MAX_ANSWER_BYTES])


def _cause(error: Exception, credentials: Credentials) -> str:
    text: Any = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
    for secret in credentials.secrets():
        text = text.replace(secret, "<secret>")
    return str(text)[:300]
