"""Which dialog is which: an answer must never reach another question than the one that its sender saw.

Two questions may have the same words ("Allow bash?") and ask for different commands. And one question comes in pieces:
signalled, then drawn with its command cut off, then reported by the agent's log with its key and the whole command.
"""

import hashlib
import re
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from meshd_core.clock import rfc3339
from meshd_core.contracts.kinds import Observation
from meshd_core.types import Dialog, DialogOption, Evidence

_ELLIPSES = ("…", "...")
_NOT_COMPARED = re.compile(r"\s|…|\.\.\.")


class Question(Struct, frozen=True):
    """What is asked now, by all that is known at the moment."""

    kind: str
    words: str
    options: tuple[DialogOption, ...]
    key: str | None = None
    command: str | None = None
    drawn: bool = False
    """Whether the command is the screen's word: it may be cut off."""


class DialogIdentity:
    """Keeps the key of one slot's open dialog, and of the last one before it."""

    def __init__(self) -> None:
        self._count = 0
        self.key: str | None = None
        """The open dialog's, as far as it is known."""
        self._last: str | None = None

    def over(self) -> None:
        """The agent asks for nothing now: what is still reported with the last dialog's key speaks of no later one."""
        self._last, self.key = self.key or self._last, None

    def question(
        self, kind: str, words: str, options: tuple[DialogOption, ...], reports: Iterable[Observation]
    ) -> Question:
        """The question with key and command from `reports`, the best source first."""
        reports = tuple(reports)
        drawn = next((one.command for one in reports if one.source == "screen" and one.command), None)
        # A log that is read some 100 ms late still tells of the call before; one call may be asked for twice.
        timely = [
            one for one in reports
            if one.dialog_key is None or one.dialog_key != self._last or _continues(drawn, one.command)
        ]  # fmt: skip
        by = next((one for one in timely if one.command), None)
        key = next((one.dialog_key for one in timely if one.dialog_key), None)
        command = None if by is None else by.command
        return Question(kind, words, options, key, command, by is not None and by.source == "screen")

    def dialog(self, open: Dialog | None, asked: Question, evidence: tuple[Evidence, ...]) -> Dialog:
        """`open`, brought up to date, if it is what is asked now; else a new one with an id of its own."""
        if open is not None and self._is(open, asked):
            self.key = asked.key or self.key
            # Which option is marked changes while a person chooses, and a cut command is no news.
            keep = asked.command is None or (asked.drawn and _continues(asked.command, open.command))
            return replace(open, command=open.command if keep else asked.command, options=asked.options)
        self._count += 1
        self.key = asked.key
        opened_at = rfc3339()
        named = repr((asked.kind, asked.words, _labels(asked.options), asked.key, asked.command, opened_at))
        digest = hashlib.sha256(named.encode("utf-8", "replace")).hexdigest()[:12]
        return Dialog(
            id=f"d{self._count}-{digest}", kind=asked.kind, question=asked.words, command=asked.command,
            options=asked.options, opened_at=opened_at, evidence=evidence,
        )  # fmt: skip

    def _is(self, open: Dialog, asked: Question) -> bool:
        if (open.kind, open.question, _labels(open.options)) != (asked.kind, asked.words, _labels(asked.options)):
            return False
        if asked.key and self.key:
            return asked.key == self.key
        old, new = open.command, asked.command
        if not old or not new or _plain(old) == _plain(new):
            return True
        if asked.drawn:  # a whole command that is longer or shorter is another one
            return (_is_cut(old) and _continues(old, new)) or (_is_cut(new) and _continues(new, old))
        return _continues(old, new)


def _labels(options: tuple[DialogOption, ...]) -> list[tuple[str, str]]:
    return [(option.id, option.label) for option in options]


def _continues(cut: str | None, whole: str | None) -> bool:
    """Whether `whole` begins with what is left of it in `cut`; rows break it where they end."""
    return bool(cut) and bool(whole) and _plain(whole or "").startswith(_plain(cut or ""))


def _plain(command: str) -> str:
    return _NOT_COMPARED.sub("", command)


def _is_cut(command: str) -> bool:
    return command.rstrip().endswith(_ELLIPSES)
