"""Prompts that an input box could take for something else reach the model once and whole, or are refused with a reason.

What the fake model received is the proof. Between what was sent and what the model got there may be only what the
receipt's `changes` name, and what docs/protocol.md says of the agent itself (`AS_AGENTS_SEND`).
"""

import base64
import re
import threading
import time
import unicodedata
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from meshd_core.testing.corpus.prompts import write_prompts
from meshd_core.testing.daemon import HttpFailure
from meshd_core.types import Receipt
from meshd_core.unseen import INVISIBLE
from tests.agents.driving import finished, idle
from tests.agents.tally import Tally, outcome
from tests.agents.traps import TRAPS, Trap

pytestmark = [pytest.mark.agents, pytest.mark.slow, pytest.mark.timeout(400)]

INVISIBLES = re.compile(f"[{INVISIBLE}]")
CHANGED: dict[str, Callable[[str], str]] = {
    "paste_marks_removed": lambda text: re.sub("(?:\x1b\\[|\x9b)20[01]~", "", text),
    "carriage_returns_to_newlines": lambda text: text.replace("\r\n", "\n").replace("\r", "\n"),
    "control_characters_removed": lambda text: re.sub("[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", text),
    "invisible_characters_removed": lambda text: INVISIBLES.sub("", text),
    # Codex puts a command that it doesn't know back into its box.
    "draft_cleared": lambda text: text,
    # Blanks at an end: agents trim them, and so does the backend.
    "leading_bang_neutralised": str.lstrip,
    "leading_slash_neutralised": str.lstrip,
    "trailing_mention_closed": str.rstrip,
    "trailing_backslash_closed": str.rstrip,
}


def written_out(text: str) -> str:
    """Gemini CLI puts in place of a mention what it matches."""
    return re.sub(r"\n@notes *\Z", "\n @notes.txt", text.replace("@folder/", "@folder/**"))


AS_AGENTS_SEND: dict[str, Callable[[str], str]] = {
    "claude": lambda text: re.sub("[\u2028\u2029]", "\n", text.replace("\t", "    ")),
    "codex": lambda text: text,
    "gemini": lambda text: written_out(text).strip(" \n\t\u200b\ufeff"),
    "opencode": lambda text: text.strip(" \n\t\ufeff"),
}
AS_AGENTS_LOG: dict[str, tuple[str, Callable[[str], str]]] = {
    "gemini": (
        "its own log, which replies are from, leaves out the joiners (U+200C, U+200D) of what the model says",
        lambda text: re.sub("[\u200c\u200d]", "", text),
    )
}


def expected(agent: str, text: str, changes: tuple[str, ...]) -> str:
    for change in changes:
        text = CHANGED[change](text)
    return AS_AGENTS_SEND[agent](text).strip()


@pytest.fixture(scope="module")
def tally(agent: Any, request: pytest.FixtureRequest) -> Iterator[Tally]:
    """What became of the prompts; kept if `--record-prompts` says where, and if none of its tests was left out."""
    note, as_logged = AS_AGENTS_LOG.get(agent.name, ("", str))
    found = Tally(as_logged)
    yield found
    folder: str = request.config.getoption("--record-prompts", default="")
    score = found.score(agent, note)
    if folder and score.sent == len(TRAPS) + TURNS:
        write_prompts(score, Path(folder))


def test_each_reaches_the_model_once_as_its_receipt_says_or_is_refused(agent: Any, tally: Tally) -> None:
    idle(agent)
    (agent.cwd / "notes.txt").write_text("the notes\n")
    (agent.cwd / "folder").mkdir()
    (agent.cwd / "folder" / "inner.txt").write_text("inside\n")
    wrong = [fault for trap in TRAPS if (fault := _sent(agent, trap, tally)) is not None]
    assert not wrong, "\n".join(wrong)
    assert not tally.unexplained
    assert not _canaries(agent)


def _canaries(agent: Any) -> list[str]:
    """What a shell made, wherever it was."""
    return [str(path) for path in agent.cwd.parent.rglob("canary*")]


def _sent(agent: Any, trap: Trap, tally: Tally) -> str | None:
    """Send one; what was wrong with what came of it."""
    before = len(agent.backend.prompts())
    refused = trap.refused or agent.name in trap.refused_by or agent.may_not_be_typed(trap.text)
    try:
        receipt: Receipt = agent.daemon.inject(agent.name, trap.text)
    except HttpFailure as failure:
        got = agent.backend.prompts()[before:]
        tally.add(agent, None, outcome(refused=refused, got=got, want=None), got)
        return None if refused and failure.code == "invalid_field" and not got else f"{trap.name}: {failure}, got {got}"
    got = agent.backend.prompts()[before:]
    told = f"{trap.name}: {receipt.stage} {receipt.changes} {receipt.error and receipt.error.code}"
    if refused:
        tally.add(agent, receipt, result := outcome(refused=True, got=got, want=None), got)
        code = receipt.error and receipt.error.code
        # OpenCode leaves an unknown command in its box: nobody can tell that it is not taken later.
        unsure = agent.name == "opencode" and (receipt.stage, code) == ("unknown", "not_confirmed")
        fine = (receipt.stage == "failed" or unsure) and code and "submitted" not in receipt.stages
        return None if fine and result == "refused" else f"{told}: refused was expected, and the model got {got}"
    want = expected(agent.name, trap.text, receipt.changes)
    if "invisible_characters_removed" in receipt.changes:
        # What is part of an emoji stays, and some agents take out fewer.
        got, want = [INVISIBLES.sub("", one).strip() for one in got], INVISIBLES.sub("", want)
    got, want = [unicodedata.normalize("NFC", one) for one in got], unicodedata.normalize("NFC", want)
    tally.add(agent, receipt, result := outcome(refused=False, got=got, want=want), got)
    if receipt.stage == "completed" and result == "once":
        return None
    return f"{told}: wanted {want[:120]!r}, the model got {[one[:120] for one in got]}"


DRAFTS = {"words": list("a draft"), "a shell's mode": ["!"], "a command": list("!touch canary-draft")}


@pytest.mark.parametrize("keys", DRAFTS.values(), ids=DRAFTS.keys())
def test_what_a_person_left_in_the_input_box_is_not_glued_to_a_prompt(agent: Any, keys: list[str]) -> None:
    idle(agent)
    before = len(agent.backend.prompts())
    agent.daemon.call("POST", f"/keys/{agent.name}", {"keys": keys})
    receipt = agent.daemon.inject(agent.name, f"on its own, after {len(keys)} keys")
    assert (receipt.stage, receipt.changes) == ("completed", ("draft_cleared",)), receipt
    assert agent.backend.prompts()[before:] == [f"on its own, after {len(keys)} keys"]
    assert not _canaries(agent)


@pytest.mark.parametrize("rows", [1, 60])
def test_a_text_that_was_not_submitted_is_not_glued_to_the_next(agent: Any, rows: int) -> None:
    idle(agent)
    before = len(agent.backend.prompts())
    unsent = "\n".join(f"row {number} that stays" for number in range(rows))
    agent.daemon.inject(agent.name, unsent, until="written", submit=False)
    receipt = agent.daemon.inject(agent.name, f"on its own, after {rows} rows")
    assert (receipt.stage, receipt.changes) == ("completed", ("draft_cleared",)), receipt
    assert agent.backend.prompts()[before:] == [f"on its own, after {rows} rows"]


def test_an_empty_box_is_no_draft(agent: Any) -> None:
    """Placeholders and suggestions stand in it: nothing is cleared, and nothing waits."""
    idle(agent)
    for number in range(3):
        receipt = agent.daemon.inject(agent.name, f"into an empty box {number}")
        assert (receipt.stage, receipt.changes) == ("completed", ()), receipt


LONG = "".join(f"{number}x" for number in range(6000))
"""Of one line, and nothing that an agent would take for a loop when it is echoed."""


def test_keys_that_a_person_presses_meanwhile_do_not_join_the_prompt(agent: Any) -> None:
    """Keys come all the time from just before the prompt's first byte to its end; each of them waits, or the prompt."""
    idle(agent)
    before = len(agent.backend.prompts())
    over = threading.Event()
    pressing = threading.Thread(target=_press, args=(agent, over))
    receipt = agent.daemon.inject(agent.name, LONG, until="accepted")
    pressing.start()
    try:
        deadline = time.monotonic() + 10
        while agent.daemon.get(f"/injects/{receipt.id}", Receipt).stage in ("accepted", "writing", "written", "echoed"):
            if time.monotonic() > deadline:
                break  # the keys came first: it waits for the person
            time.sleep(0.01)
    finally:
        over.set()
        pressing.join(timeout=20)
    done = finished(agent, receipt.id)
    assert done.stage == "completed", done
    assert agent.backend.prompts()[before:] == [LONG]
    after = agent.daemon.inject(agent.name, "after the keys")
    assert (after.stage, agent.backend.prompts()[before + 1 :]) == ("completed", ["after the keys"]), after


def _press(agent: Any, over: threading.Event) -> None:
    body = {"bytes_b64": base64.b64encode(b"q").decode()}
    while not over.is_set():
        agent.daemon.call("POST", f"/keys/{agent.name}", body)


TURNS = 50


def test_fifty_turns_in_a_row_are_each_completed_with_their_reply_and_at_once(agent: Any, tally: Tally) -> None:
    idle(agent)
    wrong = []
    for number in range(TURNS):
        prompt = f"turn {number} of {TURNS}, and no other"
        before = len(agent.backend.prompts())
        receipt = agent.daemon.inject(agent.name, prompt)
        got = agent.backend.prompts()[before:]
        result = outcome(refused=False, got=got, want=prompt)
        tally.add(agent, receipt, result, got)
        if (receipt.stage, receipt.reply, result) != ("completed", f"You said: {prompt}", "once"):
            wrong.append((receipt, got))
        else:
            tally.delays.append(_after_last_byte(agent, prompt, receipt))
    assert not wrong
    assert max(tally.delays) < 1, sorted(tally.delays)


def _after_last_byte(agent: Any, prompt: str, receipt: Receipt) -> float:
    """Seconds from the last byte of the answer to `prompt` until the receipt was completed."""
    completed = datetime.fromisoformat(receipt.stages["completed"]).timestamp()
    asked = next(one for one in reversed(agent.backend.received()) if one.prompt == prompt and one.tools)
    answer = next(one for one in agent.backend.answered() if one.answer_to == asked.id)
    assert answer.last_byte is not None
    return round(completed - answer.last_byte, 3)
