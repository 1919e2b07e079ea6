"""Prompts through the whole daemon into a real agent: stages, order, refusals, receipts."""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from meshd_core.testing.daemon import DaemonProcess, HttpFailure
from meshd_core.types import MAX_PROMPT_BYTES, ErrorAnswer, Receipt, SlotDetail


@pytest.fixture
def daemon(make_daemon: Any, demo_slot: str) -> DaemonProcess:
    made: DaemonProcess = make_daemon(demo_slot)
    made.wait_for("demo", "idle")
    return made


def refused(daemon: DaemonProcess, body: dict[str, Any], **headers: str) -> ErrorAnswer:
    with pytest.raises(HttpFailure) as failure:
        daemon.call("POST", "/inject/demo", body, headers=headers)
    return msgspec.json.decode(failure.value.body, type=ErrorAnswer)


def test_a_prompt_is_completed_with_its_reply_and_every_stage_has_its_time(daemon: DaemonProcess) -> None:
    receipt = daemon.inject("demo", "hello there")
    assert (receipt.stage, receipt.reply, receipt.error, receipt.capped) == (
        "completed",
        "echo: hello there",
        None,
        False,
    )
    assert list(receipt.stages) == ["accepted", "writing", "written", "entered", "submitted", "completed"]
    times = list(receipt.stages.values())
    assert times == sorted(times)
    assert daemon.get(f"/injects/{receipt.id}", Receipt) == receipt


def test_a_reply_of_many_lines_comes_whole(daemon: DaemonProcess) -> None:
    receipt = daemon.inject("demo", "lines 40 400")
    assert receipt.reply == "\n".join(f"line {number}" for number in range(1, 41))


def test_prompts_are_typed_in_the_order_in_which_they_came(
    daemon: DaemonProcess, prompts: Callable[[], list[str]], eventually: Any
) -> None:
    daemon.inject("demo", "slow 1", until="submitted")
    texts = [f"number {number}" for number in range(20)]
    receipts = [daemon.inject("demo", text, until="accepted") for text in texts]
    assert [receipt.queue_position for receipt in receipts] == list(range(20))
    assert daemon.get("/slots/demo", SlotDetail).queued == [receipt.id for receipt in receipts]
    eventually(lambda: daemon.get(f"/injects/{receipts[-1].id}", Receipt).stage == "completed")
    assert prompts() == ["slow 1", *texts]


def test_a_wait_that_is_too_short_answers_202_and_the_receipt_goes_on(daemon: DaemonProcess, eventually: Any) -> None:
    status, body = daemon.exchange("POST", "/inject/demo", {"text": "slow 1", "until": "completed", "timeout_s": 0.2})
    receipt = msgspec.json.decode(body, type=Receipt)
    assert (status, receipt.stage) == (202, "submitted")
    eventually(lambda: daemon.get(f"/injects/{receipt.id}", Receipt).stage == "completed")


def test_now_is_refused_with_the_activity_while_the_agent_works(daemon: DaemonProcess) -> None:
    daemon.inject("demo", "slow 2", until="submitted")
    error = refused(daemon, {"text": "me first", "when": "now"}).error
    assert error.code == "slot_busy"
    assert error.details["activity"]["state"] == "busy"


def test_nothing_is_typed_into_an_open_dialog(
    daemon: DaemonProcess, prompts: Callable[[], list[str]], eventually: Any
) -> None:
    daemon.inject("demo", "ask", until="submitted")
    slot = daemon.wait_for("demo", "waiting")
    eventually(lambda: daemon.get("/slots/demo", SlotDetail).dialog is not None)
    dialog = daemon.get("/slots/demo", SlotDetail).dialog
    assert dialog is not None
    assert (dialog.kind, dialog.question) == ("approval", "Allow the demo to continue?")
    assert [option.id for option in dialog.options] == ["accept", "deny"]
    for when in ("now", "steer"):
        assert refused(daemon, {"text": "y", "when": when}).error.code == "slot_waiting"
    queued = daemon.inject("demo", "y", until="written", timeout_s=0.5)
    assert (queued.stage, slot.activity.state) == ("accepted", "waiting")
    assert prompts() == ["ask"]


def test_a_queued_prompt_can_be_cancelled_and_a_typed_one_cannot(
    daemon: DaemonProcess, prompts: Callable[[], list[str]], eventually: Any
) -> None:
    first = daemon.inject("demo", "slow 1", until="submitted")
    second = daemon.inject("demo", "never", until="accepted")
    assert msgspec.json.decode(daemon.call("DELETE", f"/injects/{second.id}"), type=Receipt).stage == "cancelled"
    with pytest.raises(HttpFailure) as failure:
        daemon.call("DELETE", f"/injects/{first.id}")
    assert failure.value.status == 409
    eventually(lambda: daemon.get(f"/injects/{first.id}", Receipt).stage == "completed")
    assert prompts() == ["slow 1"]


def test_a_queued_prompt_expires(daemon: DaemonProcess, prompts: Callable[[], list[str]]) -> None:
    daemon.inject("demo", "slow 2", until="submitted")
    late = daemon.inject("demo", "too late", until="written", expires_s=0.3)
    assert late.stage == "expired"
    assert late.error is not None
    assert prompts() == ["slow 2"]


def test_a_key_stands_for_one_prompt_however_often_it_is_sent(
    daemon: DaemonProcess, prompts: Callable[[], list[str]]
) -> None:
    body = {"text": "only once", "until": "completed"}

    def send(_: int) -> Receipt:
        answer = daemon.call("POST", "/inject/demo", body, headers={"Idempotency-Key": "k-1"})
        return msgspec.json.decode(answer, type=Receipt)

    with ThreadPoolExecutor(16) as pool:
        receipts = list(pool.map(send, range(50)))
    assert {receipt.id for receipt in receipts} == {receipts[0].id}
    assert {receipt.stage for receipt in receipts} == {"completed"}
    error = refused(daemon, {"text": "another"}, **{"Idempotency-Key": "k-1"})
    assert error.error.code == "idempotency_mismatch"
    daemon.kill()
    daemon.start()
    assert send(0).id == receipts[0].id
    assert prompts() == ["only once"]


@pytest.mark.parametrize(
    ("text", "typed", "changes"),
    [
        ("a\x1b[201~\rb", "a\nb", ("paste_marks_removed", "carriage_returns_to_newlines")),
        ("tab\there", "tab\there", ()),
        ("bell\x07 and \x9b31m", "bell and 31m", ("control_characters_removed",)),
        ("line 1\r\nline 2", "line 1\nline 2", ("carriage_returns_to_newlines",)),
        ("grüße 日本 🎉", "grüße 日本 🎉", ()),
    ],
)
def test_a_prompt_is_made_harmless_and_the_changes_are_told(
    daemon: DaemonProcess, prompts: Callable[[], list[str]], text: str, typed: str, changes: tuple[str, ...]
) -> None:
    receipt = daemon.inject("demo", text)
    assert (receipt.stage, receipt.changes) == ("completed", changes)
    assert prompts() == [typed]


def test_a_large_prompt_arrives_whole_and_a_larger_one_is_refused(
    daemon: DaemonProcess, prompts: Callable[[], list[str]]
) -> None:
    large = "\n".join(f"{number} {'x' * 90}" for number in range(2000))
    assert daemon.inject("demo", large).stage == "completed"
    assert prompts() == [large]
    assert refused(daemon, {"text": "x" * (MAX_PROMPT_BYTES + 1)}).error.code == "too_large"


@pytest.mark.parametrize("text", ["", "  \n\t ", "\x1b\x07"])
def test_nothing_to_submit_is_refused(daemon: DaemonProcess, text: str) -> None:
    assert refused(daemon, {"text": text}).error.code == "invalid_field"


def test_text_without_submit_stays_in_the_input_box(daemon: DaemonProcess, eventually: Any) -> None:
    receipt = daemon.inject("demo", "a draft", submit=False)
    assert (receipt.stage, receipt.capped) == ("written", True)
    eventually(lambda: b"demo> a draft" in daemon.call("GET", "/screen/demo"))


def test_an_agent_that_exits_ends_what_was_meant_for_it(daemon: DaemonProcess) -> None:
    daemon.inject("demo", "slow 30", until="submitted")
    queued = daemon.inject("demo", "never typed", until="accepted")
    daemon.call("POST", "/stop/demo", {"grace_s": 1})
    receipt = daemon.get(f"/injects/{queued.id}", Receipt)
    assert receipt.stage == "failed"
    assert receipt.error is not None
    assert receipt.error.code == "agent_exited"
    assert refused(daemon, {"text": "to nobody"}).error.code == "slot_not_running"


def test_a_full_queue_refuses(daemon: DaemonProcess) -> None:
    daemon.inject("demo", "slow 20", until="submitted")
    for number in range(100):
        daemon.inject("demo", f"{number}", until="accepted")
    assert refused(daemon, {"text": "one too many"}).error.code == "queue_full"


def test_an_agent_that_reads_nothing_gets_no_prompt_reported_as_taken(daemon: DaemonProcess) -> None:
    """`hang` stops reading: a large prompt fills the kernel's buffer and its receipt is honest."""
    daemon.inject("demo", "hang", until="submitted")
    time.sleep(0.2)
    receipt = daemon.inject("demo", "x" * 100_000, when="steer", timeout_s=20)
    assert receipt.stage in ("failed", "unknown")
    assert receipt.error is not None
    assert receipt.error.code == "agent_not_reading"
    assert msgspec.json.decode(daemon.call("POST", "/stop/demo", {"grace_s": 0.5}))["status"] == "stopped"


def test_a_prompt_that_the_agent_reads_later_than_is_waited_for_is_not_called_failed(
    daemon: DaemonProcess, prompts: Callable[[], list[str]], eventually: Any
) -> None:
    daemon.inject("demo", "read at once")
    pid = daemon.get("/slots/demo", SlotDetail).pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        receipt = daemon.inject("demo", "read late")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (receipt.stage, receipt.error and receipt.error.code) == ("unknown", "not_confirmed")
    eventually(lambda: prompts() == ["read at once", "read late"])
    assert daemon.inject("demo", "and the next").reply == "echo: and the next"
    assert prompts() == ["read at once", "read late", "and the next"]


def test_the_echo_of_a_long_prompt_is_no_part_of_its_reply(daemon: DaemonProcess) -> None:
    for prompt in ("x" * 40_000, "\n".join(f"row {number}" for number in range(300))):
        receipt = daemon.inject("demo", prompt)
        assert receipt.reply is not None
        assert receipt.reply.startswith("echo: ")
        assert "".join(receipt.reply.split()) == "echo:" + "".join(prompt.split())
