"""The agent's own channels during one run, as its kind's plugin reads them: state, replies, version.

Every call of the plugin is guarded: whatever it does, the slot lives on with what the terminal shows.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from meshd_core.contracts.kinds import AgentKind, AgentSession, Observation, Run, Turn
from meshd_core.types import Conversation

log = logging.getLogger(__name__)

T = TypeVar("T")

REPLY_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 3.0
MESSAGES_TIMEOUT_S = 3.0
"""Less than another node waits for an answer."""
_WATCH_PAUSE_S = 1.0


class AgentChannel:
    """One slot's session with its agent. `observe` gets each report, `on_version` the version once it is known,
    `on_resumable` what a resume needs, whenever more of it is found out.
    """

    def __init__(
        self,
        slot: str,
        kind: AgentKind,
        observe: Callable[[Observation], None],
        on_version: Callable[[str], None],
        on_resumable: Callable[[Mapping[str, str]], None],
        spawn_task: Callable[[Coroutine[Any, Any, None], str], asyncio.Task[None]],
    ) -> None:
        self._slot, self.kind = slot, kind
        self._observe, self._spawn_task = observe, spawn_task
        self._on_version, self._on_resumable = on_version, on_resumable
        self._session = AgentSession()
        self._deaf = False
        self._watch: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self.version: str | None = None
        self._resumable: dict[str, str] = {}
        self.opened = asyncio.Event()
        """Set while a run has its session. An adoption takes in what its agent wrote meanwhile before that."""

    def open(self, run: Run, adopted: bool) -> None:
        """A run begins, or was adopted: then what it was launched with may be known better already."""
        self.version = None
        self._deaf = False
        try:
            self._session = self.kind.session(run)
        except Exception:
            self._blame("making a session")
            self._session = AgentSession()
        self._resumable = self._resume_meta() if adopted else {}
        self._watch = self._spawn_task(self._follow(self._session), f"session {self._slot}")
        self.opened.set()

    def _resume_meta(self) -> dict[str, str]:
        try:
            return dict(self._session.resume_meta())
        except Exception:
            self._blame("telling what a resume needs")
            return {}

    def close(self) -> None:
        """The run ended, or the daemon leaves."""
        self.opened.clear()
        for task in (self._watch, self._reading):
            if task is not None:
                task.cancel()
        self._watch = self._reading = None

    def terminal_moved(self) -> None:
        """The agent's terminal had output. A session that fails at it is not told again in this run."""
        if self._deaf:
            return
        try:
            self._session.terminal_moved()
        except Exception:
            self._deaf = True
            self._blame("hearing of output")

    async def reply(self, turn: Turn) -> str | None:
        """The agent's answer from its own channels; None where only the screen knows."""
        return await self._asked(lambda: self._session.reply(turn), None, "reading a reply")

    async def failure(self, turn: Turn) -> str | None:
        """The words of the error that ended the turn, as far as the agent's own channels tell."""
        return await self._asked(lambda: self._session.failure(turn), None, "looking how a turn ended")

    async def messages(self) -> Conversation | None:
        """The conversation from the agent's own records; None: its kind has none. Whatever goes wrong is its warning.

        One reading at a time: what hangs, as a file on a network may, takes one thread and not all of them.
        """
        try:
            async with asyncio.timeout(MESSAGES_TIMEOUT_S):
                while self._reading is not None and not self._reading.done():
                    await asyncio.wait({self._reading})
                found: list[Conversation | None] = []
                self._reading = self._spawn_task(self._read(self._session, found), f"messages {self._slot}")
                await asyncio.wait({self._reading})
        except TimeoutError:
            log.warning("no messages from the agent's own log in time", extra={"slot": self._slot})
            return Conversation(warning="the agent's own log could not be read in time")
        return found[0] if found else Conversation(warning="the agent's own log could not be read")

    async def _read(self, session: AgentSession, found: list[Conversation | None]) -> None:
        try:
            found.append(await session.messages())
        except Exception:
            self._blame("reading messages")

    async def answer(self, dialog_key: str, choice: str) -> bool:
        """Answer a question through the agent's own channels; False where only its keys can."""
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await self._session.answer(dialog_key, choice)
        except TimeoutError:
            log.warning("the agent's own channel took no answer in time", extra={"slot": self._slot})
        except Exception:
            self._blame("answering a dialog")
        return False

    async def finished(self, turn: Turn) -> bool | None:
        """Whether the agent's own records show that it took the prompt and is done with it; None: its kind has none."""
        return await self._asked(lambda: self._session.finished(turn), False, "looking for a turn")

    async def began(self, turn: Turn) -> bool | None:
        """Whether the agent's own records show that a turn began since Enter; None: they can't tell."""
        return await self._asked(lambda: self._session.began(turn), None, "looking whether a turn began")

    async def _asked(self, ask: Callable[[], Awaitable[T]], instead: T, what: str) -> T:
        """What the session says; `instead` if it fails or takes too long."""
        try:
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                return await ask()
        except TimeoutError:
            log.warning("no answer from the agent's own log in time", extra={"slot": self._slot, "while": what})
        except Exception:
            self._blame(what)
        return instead

    async def _follow(self, session: AgentSession) -> None:
        self.learn()
        while True:
            try:
                await session.watch(self._report)
                return
            except Exception:
                self._blame("watching the agent")
            await asyncio.sleep(_WATCH_PAUSE_S)

    def _report(self, observation: Observation) -> None:
        self.learn()
        self._observe(observation)

    def learn(self) -> None:
        """Take up what the session knows by now beside the agent's state."""
        self._ask_version()
        if (resumable := self._resume_meta()) != self._resumable:
            self._resumable = resumable
            self._on_resumable(resumable)

    def _ask_version(self) -> None:
        if self.version is not None:
            return
        try:
            self.version = self._session.version()
        except Exception:
            self._blame("telling the agent's version")
        if self.version is not None:
            self._on_version(self.version)

    def _blame(self, what: str) -> None:
        log.exception("kind failed", extra={"slot": self._slot, "kind": type(self.kind).__name__, "while": what})
