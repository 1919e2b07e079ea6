"""The daemon dies at any moment; the agents, the lines, the receipts and the exits don't."""

import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshd_core.types import Receipt, SlotDetail

pytestmark = pytest.mark.timeout(240)


def numbers(texts: list[str]) -> list[int]:
    return [int(text.split()[1]) for text in texts if text.startswith("line ")]


def test_a_resuming_reader_has_every_line_once_over_ten_kills(
    make_daemon: Any, demo_slot: str, prompts: Callable[[], list[str]], stream: Any, eventually: Any
) -> None:
    """5,000 lines a second; ten kills at random moments, one of them during adoption; prompts queued all along."""
    daemon = make_daemon(demo_slot)
    pid = daemon.wait_for("demo", "idle").pid
    # Long enough for a slow machine's kills, too: one that hits a prompt as it is typed leaves it in doubt.
    count, seed = 200_000, random.randrange(1 << 30)
    chance = random.Random(seed)
    reader = stream(daemon, "demo")
    daemon.inject("demo", f"lines {count} 5000", until="submitted")
    queued: list[str] = []
    for kill in range(10):
        queued.append(daemon.inject("demo", f"prompt {kill}", until="accepted").id)
        time.sleep(chance.uniform(0.0, 0.8))
        daemon.kill()
        time.sleep(1.0)
        if kill == 5:
            daemon.spawn()
            time.sleep(chance.uniform(0.2, 0.6))
            daemon.kill()
        daemon.start()
    assert daemon.get("/slots/demo", SlotDetail).pid == pid
    eventually(lambda: not daemon.get("/slots/demo", SlotDetail).queue, 60)
    stages = {daemon.get(f"/injects/{one}", Receipt).stage for one in queued}
    assert stages == {"completed"}, seed
    eventually(lambda: "echo: prompt 9" in reader.texts(), 30)
    assert numbers(reader.texts()) == list(range(1, count + 1)), seed
    assert not reader.of("gap"), seed
    assert prompts() == [f"lines {count} 5000", *(f"prompt {kill}" for kill in range(10))], seed


def test_no_prompt_is_typed_twice_when_killed_while_typing(
    make_daemon: Any, demo_slot: str, prompts: Callable[[], list[str]], eventually: Any
) -> None:
    """Kills in the middle of a busy queue: each prompt once or, if it is honestly in doubt, at most once."""
    daemon = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")
    receipts: dict[str, str] = {}
    for kill in range(8):
        for number in range(12):
            text = f"kill {kill} prompt {number}"
            receipts[text] = daemon.inject("demo", text, until="accepted").id
        daemon.kill()
        daemon.start()
    eventually(
        lambda: not daemon.get("/slots/demo", SlotDetail).queue, 60, lambda: daemon.get("/slots/demo", SlotDetail)
    )
    received = prompts()
    assert len(received) == len(set(received))
    for text, receipt_id in receipts.items():
        receipt = daemon.get(f"/injects/{receipt_id}", Receipt)
        assert receipt.stage in ("completed", "unknown"), receipt
        if receipt.stage == "completed":
            assert received.count(text) == 1, receipt
            assert receipt.reply == f"echo: {text}"
    assert set(received) <= set(receipts)


def test_an_exit_while_no_daemon_was_there_is_known_with_its_status(
    make_daemon: Any, demo_slot: str, stream: Any, eventually: Any
) -> None:
    daemon = make_daemon(demo_slot + 'restart = "never"\n')
    daemon.wait_for("demo", "idle")
    daemon.inject("demo", "slow 1", until="submitted")
    queued = daemon.inject("demo", "exit 7", until="accepted", when="steer")
    daemon.call("POST", "/inject/demo", {"text": "never typed", "until": "accepted"})
    eventually(lambda: daemon.get(f"/injects/{queued.id}", Receipt).stage == "entered")
    daemon.kill()
    time.sleep(2)
    daemon.start()
    slot = daemon.get("/slots/demo", SlotDetail)
    assert slot.exit is not None
    assert (slot.status, slot.exit.code, slot.exit.signal) == ("stopped", 7, None)
    assert slot.queue == 0
    reader = stream(daemon, "demo")
    eventually(lambda: reader.of("end"))
    assert reader.of("end")[0]["exit"]["code"] == 7


def test_the_epoch_and_the_screen_outlive_the_daemon(make_daemon: Any, demo_slot: str) -> None:
    daemon = make_daemon(demo_slot)
    daemon.inject("demo", "remember me")
    before = daemon.get("/slots/demo", SlotDetail)
    screen = daemon.call("GET", "/screen/demo")
    daemon.kill()
    daemon.start()
    after = daemon.get("/slots/demo", SlotDetail)
    assert after.output.first_id == before.output.first_id
    assert after.activity.state == "idle"
    assert after.activity.evidence
    assert daemon.call("GET", "/screen/demo") == screen
    assert daemon.inject("demo", "and again").reply == "echo: and again"


def test_a_keeper_that_dies_leaves_agents_running_and_is_replaced(
    make_daemon: Any, demo_slot: str, eventually: Any
) -> None:

    daemon = make_daemon(demo_slot)
    pid = daemon.wait_for("demo", "idle").pid
    with open(f"/proc/{pid}/stat") as stat:
        keeper = int(stat.read().rpartition(")")[2].split()[1])
    os.kill(keeper, signal.SIGKILL)
    assert daemon.inject("demo", "still here").reply == "echo: still here"
    eventually(lambda: "a new keeper has the agents" in daemon.log.read_text())
    daemon.kill()
    daemon.start()
    assert daemon.get("/slots/demo", SlotDetail).pid == pid
    assert daemon.inject("demo", "under the new keeper").reply == "echo: under the new keeper"
    daemon.inject("demo", "exit 3", until="submitted")
    eventually(lambda: (slot := daemon.get("/slots/demo", SlotDetail)).exit is not None and not slot.exit.known)


@pytest.mark.timeout(300)
def test_a_draft_left_by_one_crash_is_cleared_even_after_a_second(
    make_daemon: Any, demo_slot: str, prompts: Callable[[], list[str]], eventually: Any
) -> None:
    """The daemon that knows of the draft dies, too, before it could clear it: the one after must not type over it."""
    daemon = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")
    for attempt in range(25):
        daemon.inject("demo", f"first {attempt} " + "x" * 100_000, until="accepted")
        daemon.kill()
        daemon.start()
        daemon.kill()
        daemon.start()
        after = daemon.inject("demo", f"second {attempt}")
        assert (after.stage, after.reply) == ("completed", f"echo: second {attempt}")
        if daemon.lines("demo") and not any(text.startswith(f"first {attempt}") for text in prompts()):
            break  # the kill came while it was typed: that is the case to be shown
    assert not [text for text in prompts() if "second" in text and not text.startswith("second")]


def test_the_agents_belong_to_the_state_whatever_the_runtime_folder(
    make_daemon: Any, demo_slot: str, short_tmp: Path
) -> None:
    """A daemon started from cron has another XDG_RUNTIME_DIR, and /tmp is cleaned now and then."""
    daemon = make_daemon(demo_slot)
    pid = daemon.wait_for("demo", "idle").pid
    daemon.kill()
    shutil.rmtree(short_tmp / "run")
    daemon.runtime = short_tmp / "run2"
    daemon.start()
    assert daemon.get("/slots/demo", SlotDetail).pid == pid
    assert daemon.inject("demo", "found again").stage == "completed"
