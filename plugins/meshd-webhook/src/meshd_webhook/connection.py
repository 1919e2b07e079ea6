"""One connection to a receiver: one request for a batch of json, one or a few for a chat."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

import aiohttp
import msgspec
from msgspec import Struct

from meshd_core.api import FleetEvent, SecretRef, SinkConnection, SinkContext, SinkPaused
from meshd_webhook.answers import judge
from meshd_webhook.messages import Message, messages
from meshd_webhook.options import WebhookOptions, check_url
from meshd_webhook.selection import Selection
from meshd_webhook.signing import keys_in, signed_headers

CONNECT_TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 64 * 1024


class Events(Struct, frozen=True):
    events: list[FleetEvent]


class Payload(Struct, frozen=True):
    """The body of json, as Standard Webhooks recommends it."""

    type: str
    timestamp: str
    data: Events


class Target(Struct, frozen=True):
    """Read anew for each batch, so that a rotated secret is used at once. Never shown."""

    url: str
    token: str | None
    keys: list[bytes]

    def __repr__(self) -> str:
        return "<target>"


class WebhookConnection(SinkConnection):
    """One receiver. Every request has a timeout, an answer a size, and nothing is redirected."""

    def __init__(self, context: SinkContext) -> None:
        self._context = context
        self._options: WebhookOptions = context.options
        self._selection = Selection(self._options.selectors, self._options.slots)
        self._session: aiohttp.ClientSession | None = None
        self._sent: set[str] = set()
        """Of a batch that failed half-way: what a chat has been told."""

    async def send(self, batch: Sequence[FleetEvent]) -> None:
        chosen, commit = self._selection.choose(batch)
        left = [event for event in chosen if event.id not in self._sent]
        if left:
            target = self._target()
            for message in self._messages(left):
                await self._post(message, target)
                self._sent.update(message.ids)
        commit()
        self._sent.difference_update(event.id for event in batch)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _messages(self, events: list[FleetEvent]) -> Iterator[Message]:
        if self._options.format != "json":
            return messages(self._options.format, events)
        body = msgspec.json.encode(Payload("meshd.events", events[-1].at, Events(events)))
        return iter((Message(body, "application/json", tuple(event.id for event in events), {}),))

    async def _post(self, message: Message, target: Target) -> None:
        headers = {"Content-Type": message.content_type, **message.headers}
        if target.token is not None:
            headers["Authorization"] = f"Bearer {target.token}"
        if target.keys:
            # The same events have the same id, so that a receiver can drop a batch that comes twice.
            message_id = "msg_" + hashlib.sha256(" ".join(message.ids).encode()).hexdigest()[:32]
            headers |= signed_headers(target.keys, message_id, int(time.time()), message.body)
        try:
            async with self._open().post(
                target.url, data=message.body, headers=headers, allow_redirects=False
            ) as answer:
                await _drain(answer)
                failure = judge(answer.status, answer.headers.get("Retry-After"))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # Made anew: aiohttp's own errors may hold the URL and the request's headers.
            cause = "no answer in time" if isinstance(error, TimeoutError) else type(error).__name__
            raise ConnectionError(f"{urlsplit(target.url).hostname}: {cause}") from None
        if failure is not None:
            raise failure

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._options.timeout_s, sock_connect=CONNECT_TIMEOUT_S),
                connector=aiohttp.TCPConnector(limit=1),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,  # an answer's size is what it is on the wire
                headers={"Accept-Encoding": "identity", "User-Agent": "meshd-webhook"},
            )
        return self._session

    def _target(self) -> Target:
        """Raises SinkPaused for what can't be had or used."""
        options = self._options
        try:
            url = options.url
            if isinstance(url, SecretRef):
                url = str(self._context.read_secret(url))
                check_url(url, options.insecure)
            token = None if options.token is None else _header_safe(self._context.read_secret(options.token))
            keys = [] if options.secret is None else keys_in(self._context.read_secret(options.secret))
        except ValueError as error:
            raise SinkPaused(str(error)) from None
        return Target(url, token, keys)


def _header_safe(token: str) -> str:
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("token: what it points to is not one word of printable ASCII")
    return str(token)


async def _drain(answer: aiohttp.ClientResponse) -> None:
    """Read the answer's body away, so that the connection can be used again; a long one costs the connection."""
    size = 0
    async for chunk in answer.content.iter_chunked(16 * 1024):
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            answer.close()
            return
