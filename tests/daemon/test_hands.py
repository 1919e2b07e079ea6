"""Keys, interrupt, answer and resize on a real daemon with real terminals."""

import base64
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from meshd_core.testing.daemon import DaemonProcess, HttpFailure
from meshd_core.types import AnswerResult, KeysAnswer, Screen, Slot, SlotDetail

SIZES = """
import os, signal, time
def tell(*_):
    size = os.get_terminal_size()
    print("size", size.lines, size.columns, flush=True)
signal.signal(signal.SIGWINCH, tell)
tell()
while True:
    time.sleep(1)
"""


def post(daemon: DaemonProcess, path: str, kind: Any, body: object = None) -> Any:
    return msgspec.json.decode(daemon.call("POST", path, body), type=kind)


def refused(daemon: DaemonProcess, path: str, body: object = None) -> tuple[int, str]:
    with pytest.raises(HttpFailure) as failure:
        daemon.call("POST", path, body)
    return failure.value.status, failure.value.code


def ask(daemon: DaemonProcess) -> SlotDetail:
    assert daemon.inject("demo", "ask", until="submitted").stage == "submitted"
    slot = daemon.wait_for("demo", "waiting")
    assert slot.dialog is not None
    return slot


def test_keys_are_typed_as_a_person_would(make_daemon: Any, demo_slot: str, eventually: Any) -> None:
    daemon = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")
    answer = post(daemon, "/keys/demo", KeysAnswer, {"keys": [*"by hand", "Enter"]})
    assert answer.bytes_written == 8
    eventually(lambda: "echo: by hand" in daemon.lines("demo"))
    raw = base64.b64encode("roh é\r".encode()).decode()
    assert post(daemon, "/keys/demo", KeysAnswer, {"bytes_b64": raw}).bytes_written == 7
    eventually(lambda: "echo: roh é" in daemon.lines("demo"))
    assert daemon.get("/slots/demo", SlotDetail).held == "typing"
    assert refused(daemon, "/inject/demo", {"text": "now", "when": "now"}) == (409, "human_typing")


def test_bad_keys_write_nothing(make_daemon: Any, demo_slot: str) -> None:
    daemon = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")
    written = daemon.get("/slots/demo", SlotDetail).counters.bytes_written
    for body in (
        {"keys": ["a", "Entr"]}, {"keys": []}, {"keys": ["a"] * 257}, {}, {"keys": ["a"], "bytes_b64": "YQ=="},
        {"bytes_b64": "no base64!"}, {"bytes_b64": ""}, {"bytes_b64": base64.b64encode(bytes(65537)).decode()},
    ):  # fmt: skip
        assert refused(daemon, "/keys/demo", body) == (422, "invalid_field")
    assert daemon.get("/slots/demo", SlotDetail).counters.bytes_written == written
    daemon.call("POST", "/stop/demo")
    assert refused(daemon, "/keys/demo", {"keys": ["a"]}) == (409, "slot_not_running")


def test_an_interrupt_ends_the_turn_and_its_receipt_says_so(make_daemon: Any, demo_slot: str) -> None:
    daemon = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")
    receipt = daemon.inject("demo", "slow 60", until="submitted")
    slot = post(daemon, "/interrupt/demo", Slot)
    assert slot.activity.state == "idle"
    ended = msgspec.json.decode(daemon.call("GET", f"/injects/{receipt.id}"))
    assert (ended["stage"], ended["error"]["code"]) == ("failed", "interrupted")
    assert daemon.inject("demo", "and on").reply == "echo: and on"


def test_an_idle_agent_is_not_interrupted(make_daemon: Any, demo_slot: str) -> None:
    daemon = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")
    written = daemon.get("/slots/demo", SlotDetail).counters.bytes_written
    post(daemon, "/interrupt/demo", Slot)
    assert daemon.get("/slots/demo", SlotDetail).counters.bytes_written == written


@pytest.mark.parametrize(("choice", "outcome"), [("accept", "accepted"), ("deny", "denied")])
def test_a_dialog_is_answered(make_daemon: Any, demo_slot: str, choice: str, outcome: str) -> None:
    daemon = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")
    dialog = ask(daemon).dialog
    assert dialog is not None
    answer = post(daemon, "/answer/demo", AnswerResult, {"dialog_id": dialog.id, "choice": choice})
    assert answer.closed
    daemon.wait_for("demo", "idle")
    assert daemon.lines("demo")[-1] == outcome
    assert refused(daemon, "/answer/demo", {"dialog_id": dialog.id, "choice": choice}) == (409, "dialog_changed")


def test_an_answer_to_another_dialog_is_refused(make_daemon: Any, demo_slot: str) -> None:
    daemon = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")
    first = ask(daemon).dialog
    post(daemon, "/answer/demo", AnswerResult, {"dialog_id": first.id, "choice": "deny"})
    daemon.wait_for("demo", "idle")
    second = ask(daemon).dialog
    assert second.id != first.id
    assert refused(daemon, "/answer/demo", {"dialog_id": first.id, "choice": "accept"}) == (409, "dialog_changed")
    assert refused(daemon, "/answer/demo", {"dialog_id": second.id, "choice": "y"}) == (422, "invalid_field")
    assert daemon.get("/slots/demo", SlotDetail).dialog == second


def test_of_many_answers_to_one_dialog_one_is_typed(make_daemon: Any, demo_slot: str) -> None:
    daemon = make_daemon(demo_slot)
    daemon.wait_for("demo", "idle")
    dialog = ask(daemon).dialog
    written = daemon.get("/slots/demo", SlotDetail).counters.bytes_written
    statuses: list[int] = []

    def answer() -> None:
        body = {"dialog_id": dialog.id, "choice": "accept"}
        statuses.append(daemon.exchange("POST", "/answer/demo", body)[0])

    threads = [threading.Thread(target=answer) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [409] * 9
    assert daemon.get("/slots/demo", SlotDetail).counters.bytes_written == written + 1


def test_a_new_size_reaches_the_program_and_outlives_the_daemon(
    make_daemon: Any, short_tmp: Path, eventually: Any
) -> None:
    (short_tmp / "sizes.py").write_text(SIZES)
    command = f'command = ["{sys.executable}", "{short_tmp / "sizes.py"}"]'
    daemon = make_daemon(f'[[slots]]\nname = "sizes"\nkind = "generic"\nrows = 30\ncols = 90\n{command}\n')
    eventually(lambda: daemon.lines("sizes") == ["size 30 90"])
    slot = post(daemon, "/resize/sizes", Slot, {"rows": 50, "cols": 132})
    assert (slot.size.rows, slot.size.cols) == (50, 132)
    eventually(lambda: daemon.lines("sizes")[-1] == "size 50 132")
    assert len(daemon.get("/screen/sizes", Screen).rows) == 50
    daemon.kill()
    daemon.start()
    assert daemon.get("/slots/sizes", SlotDetail).size == slot.size
    assert daemon.lines("sizes") == ["size 30 90", "size 50 132"]
    assert post(daemon, "/restart/sizes", Slot).size.rows == 30
    assert refused(daemon, "/resize/sizes", {"rows": 1, "cols": 80}) == (422, "invalid_field")
