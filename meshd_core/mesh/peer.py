"""One other node of the table: asked within bounds, with this node's own token, and only if it is who it should be.

Nothing but the probe is sent to a node that has not named itself rightly; every answer has to name it again. What it
answers is never trusted for its size or its form, and redirects are not followed. Source: protocol sections 4 and 7.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from meshd_core.client.answers import BadAnswer, Unreachable
from meshd_core.client.connection import Answer, Endpoint
from meshd_core.config.addresses import is_private
from meshd_core.config.model import PeerSection
from meshd_core.contracts.secrets import SecretRef
from meshd_core.errors import MeshdError, PeerError, PeerTimeout, QueueFull
from meshd_core.mesh.breaker import Breaker
from meshd_core.mesh.sight import Sight, Trouble
from meshd_core.types import ErrorAnswer, Node, PeerInfo

if TYPE_CHECKING:
    from meshd_core.client.aio_connection import ByteStream

CONNECT_TIMEOUT_S = 1.5
ANSWER_TIMEOUT_S = 5.0
"""Beside the wait that a request asks for itself."""
SILENCE_S = 45.0
MAX_ANSWER_BYTES = 8 * 1024 * 1024
MAX_PROBE_BYTES = 64 * 1024
NODE_HEADER, VIA_HEADER = "Meshd-Node", "Meshd-Via"
_REFUSALS = {
    401: "it does not accept this node's token",
    421: "it does not know the host name in the URL: add it to http.allowed_hosts there",
    429: "too many wrong credentials came from this node",
}


class Peer:
    """Asks one node. `own` is this node's name, `read_secret` reads a token where the configuration says it lies.

    `section` never changes: a peer whose entry changes is made anew.
    """

    def __init__(self, section: PeerSection, own: str, read_secret: Callable[[SecretRef], str]) -> None:
        # Imported for the first peer: a node without any starts 0.2 s sooner.
        from meshd_core.client.aio_connection import AsyncRequester

        self.section = section
        self.name = section.name
        self._read_secret = read_secret
        self._token: str | None = None
        self._known = False
        self._probing = asyncio.Lock()
        self._breaker = Breaker()
        self._sight = Sight(section.name)
        guarded = urlsplit(section.url).scheme == "http" and not section.insecure
        self._requester = AsyncRequester(
            Endpoint(section.url, None, None),
            connect_timeout_s=CONNECT_TIMEOUT_S,
            max_answer_bytes=MAX_ANSWER_BYTES,
            headers={VIA_HEADER: own},
            may_connect=is_private if guarded else None,
        )

    @property
    def url(self) -> str:
        return self.section.url.rstrip("/")

    def info(self) -> PeerInfo:
        return self._sight.info(self.url)

    def retry_in_s(self) -> float:
        """Seconds until the node may be asked again; 0: now."""
        return self._breaker.wait_s()

    async def close(self) -> None:
        await self._requester.close()

    # -- asking --

    async def probe(self) -> Node:
        """Ask who it is, whatever is thought of it. Raises PeerError, PeerTimeout."""
        async with self._probing:
            return await self._probe()

    async def ask(
        self,
        method: str,
        target: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 0.0,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> Answer:
        """The node's answer: 2xx, or an error of the protocol (its status and code are the caller's to judge).

        `timeout_s` is the request's own wait; 5 s are added. Raises PeerError and PeerTimeout, whose `details` say with
        `sent` whether the request may have reached the node.
        """
        await self._ready()
        with _Judged(self):
            answer = await self._requester.request(
                method, target, body=body, headers=self._headers(headers), timeout_s=ANSWER_TIMEOUT_S + timeout_s,
                max_bytes=max_bytes,
            )  # fmt: skip
            self._check(answer.status, answer.headers, answer.body)
        return answer

    @asynccontextmanager
    async def stream(self, target: str, headers: Mapping[str, str] | None = None) -> "AsyncIterator[ByteStream]":
        """A GET whose answer has no end. A status of 400 and above is to be read with `answer()`. Raises as `ask`;
        also while it is read: 45 s without a byte count as lost.
        """
        await self._ready()
        with _Judged(self):
            async with self._opened(target, headers) as stream:
                self._check(stream.status, stream.headers)
                self._breaker.succeeded()
                yield stream

    @asynccontextmanager
    async def _opened(self, target: str, headers: Mapping[str, str] | None) -> "AsyncIterator[ByteStream]":
        """The stream, whose first bytes have to come as soon as any answer's."""
        opening = self._requester.stream(target, headers=self._headers(headers), silence_s=SILENCE_S)
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                stream = await opening.__aenter__()
        except TimeoutError:
            raise Unreachable(self.url, "no answer in time", timed_out=True) from None
        try:
            yield stream
        except BaseException as error:
            if not await opening.__aexit__(type(error), error, error.__traceback__):
                raise
        else:
            await opening.__aexit__(None, None, None)

    # -- judging --

    async def _ready(self) -> None:
        """Return if the node may be asked: it named itself rightly, and is not known to fail."""
        if not self._breaker.admit():
            raise self._away()
        if self._known:
            return
        async with self._probing:
            if not self._known:
                await self._probe()

    async def _probe(self) -> Node:
        self._token = self._read_token()
        self._sight.begin()
        with _Judged(self):
            answer = await self._requester.request(
                "GET", "/node", headers=self._headers(None), timeout_s=ANSWER_TIMEOUT_S, max_bytes=MAX_PROBE_BYTES
            )
            self._refuse(answer.status)
            if answer.status != 200:
                raise Trouble("garbage", f"it answered {answer.status} when asked who it is")
            try:
                node = msgspec.json.decode(answer.body, type=Node)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise Trouble("garbage", "it does not say who it is as a meshd node would") from error
            if node.name != self.name:
                raise Trouble("wrong_name", f"it says that its name is {node.name[:63]!r}")
            self._known = True
            self._sight.seen(node)
        return node

    def _read_token(self) -> str | None:
        """Read anew at each probe, so that a rotated token is taken up."""
        if self.section.token is None:
            return None
        try:
            token = self._read_secret(self.section.token)
        except ValueError as error:
            raise self.troubled(
                Trouble("refused", f"this node's token for it can't be read: {error}"), sent=False
            ) from error
        if not (token.isascii() and token.isprintable() and " " not in token):
            raise self.troubled(
                Trouble("refused", "this node's token for it has characters that no token has"), sent=False
            )
        return token

    def _headers(self, given: Mapping[str, str] | None) -> dict[str, str]:
        sent = dict(given or {})
        if self._token is not None:
            sent["Authorization"] = f"Bearer {self._token}"
        return sent

    def _check(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        """Raises Trouble unless this is an answer of the node that is meant."""
        if not _is_full_queue(status, body):
            self._refuse(status)
        named = headers.get(NODE_HEADER)
        if named is not None and named != self.name:
            raise Trouble("wrong_name", f"the answer is from a node of the name {named[:63]!r}")
        if named is None and status < 400:
            raise Trouble("garbage", "the answer does not say which node it is from")

    def _refuse(self, status: int) -> None:
        if status in _REFUSALS:
            raise Trouble("refused", _REFUSALS[status])
        if not 200 <= status < 300 and status < 400:
            raise Trouble("garbage", f"it answered {status}: redirects are not followed")

    def _away(self) -> MeshdError:
        """The error while the node is not asked at all."""
        trouble = self._sight.trouble or Trouble("unreachable", "it failed several times in a row")
        return self._error(trouble, sent=False, hint=f"it is asked again within {self.retry_in_s():.0f} s")

    def troubled(self, trouble: Trouble, *, sent: bool) -> MeshdError:
        """Note that the node failed; the error to raise."""
        self._breaker.failed()
        self._sight.trouble = trouble
        self._known = False
        return self._error(trouble, sent=sent)

    def succeeded(self) -> None:
        self._breaker.succeeded()
        if self._known:
            self._sight.trouble = None

    def _error(self, trouble: Trouble, *, sent: bool, hint: str | None = None) -> MeshdError:
        shape = PeerTimeout if trouble.timed_out else PeerError
        message = f"node {self.name!r} can't be used: {trouble.reason}"
        hint = hint or "'meshd nodes check' says more"
        return shape(message, hint=hint, node=self.name, outcome=trouble.outcome, sent=sent)


class _Judged:
    """Whatever goes wrong inside is noted with the peer and becomes its error; a context manager."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        match error:
            case None:
                self._peer.succeeded()
            case Trouble():
                raise self._peer.troubled(error, sent=True) from error
            case Unreachable():
                trouble = Trouble("unreachable", error.reason, timed_out=error.timed_out)
                raise self._peer.troubled(trouble, sent=error.sent) from error
            case BadAnswer():
                reason = str(error).removeprefix(self._peer.url).strip()
                raise self._peer.troubled(Trouble("garbage", f"it {reason}"), sent=True) from error


def _is_full_queue(status: int, body: bytes) -> bool:
    """A full queue of one slot has the status of too many wrong credentials, and says nothing about the node."""
    if status != QueueFull.status:
        return False
    try:
        return msgspec.json.decode(body, type=ErrorAnswer).error.code == QueueFull.code
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
