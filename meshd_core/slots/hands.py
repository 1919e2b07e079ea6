"""What a person does to an agent beside prompting it: press keys, interrupt, answer a dialog, change the size.

An answer is bound to its dialog: it is typed only while that very dialog is the one on the screen, and only once. Keys
may wait for a prompt that is being typed, so the screen is looked at again right before each write.
"""

import asyncio
from collections.abc import Awaitable, Callable

from meshd_core.contracts.kinds import MENU, Keys
from meshd_core.errors import DialogChanged, InvalidField, NotSupported, Overloaded, SlotNotRunning, SlotWaiting
from meshd_core.pty.errors import WriteClosed, WriteError
from meshd_core.slots.activity import ActivityTracker
from meshd_core.slots.agent_channel import ANSWER_TIMEOUT_S
from meshd_core.slots.key_names import strokes
from meshd_core.slots.keyboard import KEYS_WAIT_S, Keyboard
from meshd_core.slots.menu_choice import MOVES_WITHIN_S, MenuChoice, UnreadKey
from meshd_core.types import Dialog

WRITE_TIMEOUT_S = 5.0
PAUSE_S = 0.1
"""Between writes that must not be read as one: Escape and what follows, the two Escapes of an interrupt."""
CLOSES_WITHIN_S = 3.0
"""How long an answered dialog may take to go away before the answer says `closed: false`."""
ANSWER_TAKES_S = ANSWER_TIMEOUT_S + KEYS_WAIT_S + MOVES_WITHIN_S + WRITE_TIMEOUT_S + CLOSES_WITHIN_S
"""How long an answer to a dialog may take in all."""
ENDS_WITHIN_S = 3.0
"""How long an interrupted turn may take to end before the interrupt is answered."""
INTERRUPTS = 2
"""How often it is tried: codex, which tells that it works before it listens, lost an Escape 10 ms after Enter."""
MAX_KEYS = 256
MAX_BYTES = 64 * 1024

_WORKING = frozenset({"busy", "stuck", "waiting", "limited"})


class Hands:
    """Acts on one slot's agent. Every method raises SlotNotRunning, and Overloaded if the agent takes no bytes."""

    def __init__(
        self, slot: str, keys: Keys, keyboard: Keyboard, tracker: ActivityTracker, *, look: Callable[[], None],
        wait: Callable[[Callable[[], bool], float], Awaitable[bool]], interrupted: Callable[[], None],
        typed: Callable[[], None], answered_itself: Callable[[str, str], Awaitable[bool]],
    ) -> None:  # fmt: skip
        """`look()` judges the screen as it is now; `wait(reached, timeout_s)` waits for a change of activity or dialog;
        `interrupted()` is called right before the keys of an interrupt reach an agent that is at work, `typed()` before
        a person's own keys; `answered_itself(key, choice)` answers a dialog through the agent's own channel, if it can.
        """
        self._slot, self.keys, self._keyboard, self._tracker = slot, keys, keyboard, tracker
        self._look, self._wait, self._interrupted, self._typed = look, wait, interrupted, typed
        self._answered_itself = answered_itself
        self._answered: str | None = None
        self._unread = UnreadKey()

    async def press(self, keys: list[str]) -> int:
        """Press `keys` by name; how many bytes that were. Raises InvalidField."""
        if not 0 < len(keys) <= MAX_KEYS:
            raise InvalidField(f"'keys' must have 1 to {MAX_KEYS} names", field="keys")
        self._require_running()
        writes = list(strokes(keys, application_cursor=self._keyboard.application_cursor))
        self._typed()
        return await self._write_all(writes, typed=True)

    async def send(self, data: bytes) -> int:
        """Write `data` as it is; how many bytes that were. Raises InvalidField."""
        if not 0 < len(data) <= MAX_BYTES:
            raise InvalidField(f"'bytes_b64' must hold 1 to {MAX_BYTES} bytes", field="bytes_b64")
        self._require_running()
        self._typed()
        return await self._write_all([data], typed=True)

    async def pass_on(self, data: bytes, *, typed: bool) -> None:
        """Write what an attached terminal sends; `typed`: its person pressed keys."""
        self._require_running()
        if typed:
            self._typed()
        await self._write_all([data], typed=typed)

    async def interrupt(self) -> None:
        """Stop the present turn the way this kind does it, and wait a moment for its end. An idle agent is left alone:
        the same keys mean something else there. Raises SlotWaiting (a trust or login screen), NotSupported.
        """
        self._require_running()
        writes = self.keys.interrupt
        if not writes:
            raise NotSupported(f"{self._slot}: this kind has no way to interrupt", hint="send keys, as C-c")
        if not self._at_work():
            return
        for _ in range(INTERRUPTS):
            async with self._keyboard.keys():
                await self._interrupt(writes)
            if await self._wait(lambda: self._tracker.activity.state not in _WORKING, ENDS_WITHIN_S / INTERRUPTS):
                break

    async def _interrupt(self, writes: tuple[str, ...]) -> None:
        for number, keys in enumerate(writes):
            if number:
                await asyncio.sleep(PAUSE_S)
            if not self._at_work():
                return
            if number == 0 and self._tracker.activity.state in _WORKING:
                self._interrupted()
            await _told(self._keyboard.write(keys.encode(), WRITE_TIMEOUT_S), self._slot)

    def _at_work(self) -> bool:
        """Whether there may be a turn to interrupt, by the screen as it is now. Raises SlotWaiting."""
        self._look()
        state = self._tracker.activity.state
        if state == "onboarding":
            hint = f"'meshd attach {self._slot}' shows it"
            raise SlotWaiting(f"{self._slot} is at a screen that a person must answer", hint=hint)
        return state != "idle"

    async def answer(self, dialog_id: str, choice: str) -> bool:
        """Answer the open dialog; whether it went away in time. Raises DialogChanged, InvalidField, NotSupported."""
        self._require_running()
        self._look()
        self._require_choice(self._require_same(dialog_id), choice)
        key = self._tracker.dialog_key
        if key is None or not await self._tell(dialog_id, key, choice):
            dialog_id = await self._press_answer(dialog_id, choice)
        closed = await self._wait(lambda: self._gone(dialog_id), CLOSES_WITHIN_S)
        if not closed and self._answered == dialog_id:
            self._answered = None  # it takes another answer
        return closed

    async def _tell(self, dialog_id: str, key: str, choice: str) -> bool:
        """Answer through the agent's own channel; False if it takes no answers."""
        self._answered = dialog_id
        told = False
        try:
            told = await self._answered_itself(key, choice)
        finally:
            if not told and self._answered == dialog_id:
                self._answered = None
        return told

    async def _press_answer(self, dialog_id: str, choice: str) -> str:
        """Press what gives the answer; the id of the dialog that was open then: a list that scrolls gets another."""
        async with self._keyboard.keys():
            self._require_running()
            self._look()
            dialog = self._require_same(dialog_id)
            self._require_choice(dialog, choice)
            if dialog.kind == MENU and choice != "deny" and choice not in self._tracker.option_keys:
                dialog_id, keys = await self._mark(dialog, choice), "\r"
            else:
                keys = self._keys_for(choice)
            self._answered = dialog_id
            try:
                await _told(self._keyboard.write(keys.encode(), WRITE_TIMEOUT_S), self._slot)
            except Overloaded:
                self._answered = None
                raise
        return dialog_id

    async def _mark(self, menu: Dialog, choice: str) -> str:
        async def press(key: str) -> None:
            for data in strokes([key], application_cursor=self._keyboard.application_cursor):
                await _told(self._keyboard.write(data, WRITE_TIMEOUT_S), self._slot)

        label = next(option.label for option in menu.options if option.id == choice)
        chosen = MenuChoice(self._slot, menu.question, label, self._keyboard, self._tracker, self._unread)
        return await chosen.mark(press, self._look, self._wait)

    def _require_same(self, dialog_id: str) -> Dialog:
        dialog = self._tracker.dialog
        if dialog is None:
            raise DialogChanged(f"{self._slot} has no dialog open", hint="it was answered, or went away by itself")
        if dialog.id != dialog_id:
            raise DialogChanged(
                f"{self._slot} has another dialog open by now", hint="read it, then answer it", open=dialog.id
            )
        if self._answered == dialog_id:
            raise DialogChanged(f"this dialog of {self._slot} is being answered already")
        return dialog

    def _require_choice(self, dialog: Dialog, choice: str) -> None:
        name = self._slot
        if self._tracker.activity.state == "onboarding":
            # Some of these screens have a default that ends the agent, and what they ask is for a person to decide.
            raise NotSupported(f"{name}: a {dialog.kind} screen is for a person", hint=f"'meshd attach {name}'")
        offered = [option.id for option in dialog.options]
        if choice not in offered and choice != "deny":
            hint = f"it offers: {', '.join(offered)}" if offered else "only 'deny' is known to be safe here"
            raise InvalidField(f"the dialog has no choice {choice[:40]!r}", hint=hint, field="choice")

    def _keys_for(self, choice: str) -> str:
        # To deny, never what a row names: what a number stands for may have changed since the screen was read.
        keys = self.keys.deny if choice == "deny" else self._tracker.option_keys.get(choice)
        if keys is None and choice == "accept":
            keys = self.keys.accept
        if keys is None:
            name = self._slot
            raise NotSupported(f"{name}: this kind has no key for {choice!r}", hint=f"'meshd attach {name}'")
        return keys

    def _gone(self, dialog_id: str) -> bool:
        dialog = self._tracker.dialog
        return dialog is None or dialog.id != dialog_id

    def _require_running(self) -> None:
        if not self._keyboard.connected:
            name = self._slot
            raise SlotNotRunning(f"slot {name} is not running", hint=f"'meshd start {name}' starts its agent")

    async def _write_all(self, writes: list[bytes], *, typed: bool) -> int:
        async with self._keyboard.keys():
            for number, data in enumerate(writes):
                if number:
                    await asyncio.sleep(PAUSE_S)
                if typed:
                    self._keyboard.typed(data)
                await _told(self._keyboard.write(data, WRITE_TIMEOUT_S), self._slot)
        return sum(map(len, writes))


async def _told(write: Awaitable[None], name: str) -> None:
    """`write`, its failures as errors of the wire."""
    try:
        await write
    except WriteClosed as error:
        raise SlotNotRunning(f"the agent of {name} has ended") from error
    except WriteError as error:
        raise Overloaded(f"the agent of {name} is not reading: {error}", hint="see its screen") from error
    except OSError as error:
        raise Overloaded(f"the terminal of {name} can't be written: {error.strerror}") from error
