"""A slot's terminal in this one: raw keys to the agent, its screen here, until the detach key."""

import json
import re
import selectors
import sys
import time
from typing import Any

import click
import msgspec

from meshd_core.cli.connect import client_command, slot_argument
from meshd_core.cli.failures import note
from meshd_core.cli.raw_terminal import RawTerminal, window_size
from meshd_core.client import MeshdClient, Unreachable
from meshd_core.client.attach import SILENCE_S, Attachment, Lost, Refused
from meshd_core.errors import MeshdError
from meshd_core.types import Attached, AttachExit, AttachMessage, AttachMode

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 2.0
_TICK_S = 5.0
_AWAY_STATUSES = frozenset({502, 503, 504})
_INTERRUPT = b"\x03"
_WORDS = re.compile(r"(?:ctrl-|c-|\^)([a-z@\[\\\]^_])", re.IGNORECASE)


class Ending(msgspec.Struct, frozen=True):
    """How it ended: `detached`, `exited` (the agent), or `signal`."""

    slot: str
    ended: str
    exit: AttachExit | None = None
    signal: int | None = None


class DetachKey:
    """One key with Ctrl, in each form in which a terminal may send it; None: there is none."""

    def __init__(self, byte: int | None) -> None:
        forms = []
        if byte is not None:
            # Agents may switch on keyboard protocols that write keys out: kitty's and xterm's modifyOtherKeys.
            code = byte + 0x60 if 1 <= byte <= 26 else byte + 0x40
            forms = [bytes([byte]), b"\x1b[%d;5u" % code, b"\x1b[27;5;%d~" % code]
        self._forms = forms

    def before(self, keys: bytes) -> bytes | None:
        """The keys before the detach key; None if it isn't among them."""
        found = [at for form in self._forms if (at := keys.find(form)) >= 0]
        return keys[: min(found)] if found else None


def _detach_key(ctx: click.Context, param: click.Parameter, value: str) -> DetachKey:
    if value == "none":
        return DetachKey(None)
    found = _WORDS.fullmatch(value)
    if found is None:
        raise click.BadParameter("write it as ctrl-], ctrl-a or ^\\; 'none' for no such key.")
    return DetachKey(ord(found[1].upper()) & 0x1F)


@click.command()
@slot_argument
@click.option("--view", is_flag=True, help="Look only; nothing that is typed reaches the agent. Ctrl-C ends it, too.")
@click.option(
    "--detach-key",
    default="ctrl-]",
    show_default=True,
    callback=_detach_key,
    metavar="KEY",
    help="What lets go of the terminal; the agent goes on. 'none': nothing does.",
)
@client_command
def attach(client: MeshdClient, as_json: bool, slot: str, view: bool, detach_key: DetachKey) -> None:
    """Take a slot's terminal into this one.

    Keys go to the agent, Ctrl-C too. Ctrl-] lets go: the agent goes on. The agent's terminal takes the size of this
    one. Comes back by itself after a restart of the daemon. While you type, and for 15 s after, no queued prompt is
    typed between.

    \b
    meshd attach claude-1
    meshd attach claude-1 --view
    meshd attach claude-1 --detach-key ctrl-\\\\
    """
    if not RawTerminal.available():
        raise click.UsageError("attach needs a terminal as stdin and stdout; 'meshd screen' and 'meshd tail' don't.")
    mode: AttachMode = "view" if view else "control"
    session = Session(client, slot, mode, detach_key)
    with RawTerminal() as terminal:
        ending = session.run(terminal)
    _tell(ending, as_json)
    if ending.signal is not None:
        raise click.exceptions.Exit(128 + ending.signal)


def _tell(ending: Ending, as_json: bool) -> None:
    if as_json:
        told: dict[str, Any] = {"slot": ending.slot, "ended": ending.ended}
        if ending.exit is not None:
            told["exit"] = msgspec.to_builtins(ending.exit.exit)
        click.echo(json.dumps(told))
    elif ending.exit is not None:
        status = ending.exit.exit
        how = f"by {status.signal}" if status.signal else f"with status {status.code}" if status.known else "somehow"
        note(f"the agent of {ending.slot} has ended {how}; 'meshd start {ending.slot}' starts it again")
    else:
        note(f"detached from {ending.slot}; its agent goes on")


class Session:
    """The loop between one terminal and one slot. Attaches when made: a refusal leaves the terminal untouched."""

    def __init__(self, client: MeshdClient, slot: str, mode: AttachMode, detach_key: DetachKey) -> None:
        self._client, self._slot, self._mode, self._detach_key = client, slot, mode, detach_key
        self._selector = selectors.DefaultSelector()
        self._ending: Ending | None = None
        self._lost_at = 0.0
        self._attachment: Attachment | None = self._attach()

    def _attach(self) -> Attachment:
        size = window_size(sys.stdout.fileno()) if self._mode == "control" else None
        return self._client.attach(self._slot, mode=self._mode, size=size)

    def run(self, terminal: RawTerminal) -> Ending:
        """Until the detach key, the agent's end or a signal. Raises MeshdError, Refused as click's error."""
        with self._selector:
            self._selector.register(terminal.fileno(), selectors.EVENT_READ)
            self._selector.register(terminal.wake_fd, selectors.EVENT_READ)
            try:
                while self._ending is None:
                    if self._attachment is None:
                        self._come_back(terminal)
                    else:
                        self._step(terminal, self._attachment)
            finally:
                if self._attachment is not None:
                    self._attachment.close()
        return self._ending

    def _step(self, terminal: RawTerminal, attachment: Attachment) -> None:
        try:
            for message in attachment.receive():  # before the wait: some of it came with the handshake's answer
                self._came(message, terminal)
            ready = self._wait(terminal, attachment, 0.0 if self._ending else _TICK_S)
            attachment.flush()
            if terminal.fileno() in ready and attachment.takes_more:
                self._typed(terminal.keys(), attachment)
            if attachment.silent_s > SILENCE_S:
                raise Lost("nothing was heard for too long")
        except Lost as lost:
            attachment.close()
            self._attachment = None
            self._lost_at = time.monotonic()
            self._remark(terminal, f"the connection is lost ({lost}); trying again")
        except Refused as refused:
            raise click.ClickException(f"{self._slot}: {refused}") from refused

    def _wait(self, terminal: RawTerminal, attachment: Attachment | None, timeout_s: float) -> set[int]:
        """What can be read; signals are dealt with here."""
        if attachment is not None:
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if attachment.wants_to_send else 0)
            self._selector.register(attachment.fileno(), events)
        try:
            ready = {key.fd for key, _ in self._selector.select(timeout_s)}
        finally:
            if attachment is not None:
                self._selector.unregister(attachment.fileno())
        if terminal.wake_fd in ready:
            terminal.woken()
        self._signals(terminal, attachment)
        return ready

    def _signals(self, terminal: RawTerminal, attachment: Attachment | None) -> None:
        if terminal.ended_by is not None:
            self._ending = Ending(self._slot, "signal", signal=terminal.ended_by)
        if terminal.continued:
            # Somebody else had the terminal meanwhile: everything is painted anew.
            terminal.continued = False
            terminal.again()
            if attachment is not None:
                raise Lost("this command was stopped")
        if terminal.resized:
            terminal.resized = False
            if attachment is not None and self._mode == "control":
                attachment.resize(terminal.size())

    def _typed(self, keys: bytes, attachment: Attachment | None) -> None:
        before = self._detach_key.before(keys)
        if not keys or before is not None or (self._mode == "view" and _INTERRUPT in keys):
            self._ending = Ending(self._slot, "detached")
        passed = keys if before is None else before
        if passed and attachment is not None and self._mode == "control":
            attachment.send(passed)

    def _came(self, message: bytes | AttachMessage, terminal: RawTerminal) -> None:
        match message:
            case bytes():
                terminal.write(message)
            case AttachExit() if message.status in ("stopped", "failed"):
                self._ending = Ending(self._slot, "exited", exit=message)
            case AttachExit():
                self._remark(terminal, "the agent has ended and will be started again")
            case Attached():
                mine = terminal.size()
                if self._mode == "view" and (message.rows > mine.rows or message.cols > mine.cols):
                    size = f"{message.cols}x{message.rows}"
                    note(f"the agent's terminal is {size}, larger than this one: make this one as large\r")
            case _:
                pass  # sizes, gaps and new runs are followed by the painted screen; errors by nothing that was typed

    def _come_back(self, terminal: RawTerminal) -> None:
        """Try once more, after a pause that grows; the detach key works meanwhile."""
        away_s = time.monotonic() - self._lost_at
        until = time.monotonic() + min(max(FIRST_PAUSE_S, away_s / 4), LONGEST_PAUSE_S)
        while self._ending is None and (left := until - time.monotonic()) > 0:
            if terminal.fileno() in self._wait(terminal, None, left):
                self._typed(terminal.keys(), None)
        if self._ending is not None:
            return
        try:
            self._attachment = self._attach()
        except Unreachable:
            return
        except MeshdError as error:
            if error.status not in _AWAY_STATUSES:
                raise

    def _remark(self, terminal: RawTerminal, text: str) -> None:
        """One line at the bottom; the painted screen that comes next takes it away."""
        terminal.write(f"\x1b[0m\x1b[999;1H\x1b[2K[meshd: {text}]".encode())
