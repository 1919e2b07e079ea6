"""Receipts outlive the process, and a key stands for one request for a day."""

from pathlib import Path

import pytest

from meshd_core.clock import now_ms
from meshd_core.slots.receipts import KEEP_MS, Entry, ReceiptStore, fingerprint, reached
from meshd_core.slots.restart_policy import MOST_EXITS, RestartBudget, wants_restart
from meshd_core.types import InjectRequest


def entry(number: int, *, key: str | None = None, created_ms: int | None = None) -> Entry:
    made = Entry(
        id=f"{number}@n", slot="s", node="n", text=f"text {number}", submit=True, when="idle",
        created_ms=now_ms() if created_ms is None else created_ms, expires_ms=0, changes=(), principal="p", key=key,
        fingerprint="f",
    )  # fmt: skip
    made.move("accepted")
    return made


def test_open_receipts_come_back_in_the_order_in_which_they_came(tmp_path: Path) -> None:
    store = ReceiptStore(tmp_path / "r.db")
    for number in (3, 1, 2):
        store.save(entry(number))
    done = entry(4)
    done.move("completed")
    store.save(done)
    store.close()
    again = ReceiptStore(tmp_path / "r.db")
    assert [found.id for found in again.open_entries("s")] == ["3@n", "1@n", "2@n"]
    assert again.get("4@n") == done
    assert again.get("5@n") is None
    again.close()
    assert (tmp_path / "r.db").stat().st_mode & 0o777 == 0o600


def test_a_key_is_for_one_principal_and_one_slot_and_a_day(tmp_path: Path) -> None:
    store = ReceiptStore(tmp_path / "r.db")
    store.save(entry(1, key="k"))
    old = entry(2, key="old", created_ms=now_ms() - KEEP_MS - 1)
    old.move("completed")
    store.save(old)
    assert store.by_key("p", "s", "k") is not None
    assert store.by_key("q", "s", "k") is None
    assert store.by_key("p", "t", "k") is None
    assert store.by_key("p", "s", "old") is None
    store.save(entry(3, key="old"))
    store.forget_old()
    assert store.get("2@n") is None
    store.close()


def test_until_is_reached_at_its_stage_at_an_end_and_where_no_more_can_be_proven() -> None:
    made = entry(1)
    assert reached(made.view(), "accepted")
    assert not reached(made.view(), "written")
    made.move("entered")
    assert reached(made.view(), "written")
    assert not reached(made.view(), "submitted")
    made.capped = True
    assert reached(made.view(), "completed")
    made.capped = False
    made.move("failed")
    assert reached(made.view(), "completed")


def test_a_fingerprint_is_of_what_is_typed_and_how() -> None:
    base = InjectRequest(text="x")
    assert fingerprint(base) == fingerprint(InjectRequest(text="x", until="completed", timeout_s=1))
    others = [InjectRequest(text="y"), InjectRequest(text="x", submit=False), InjectRequest(text="x", when="now")]
    assert len({fingerprint(request) for request in [base, *others]}) == 4


def test_pauses_double_and_end_after_five_exits() -> None:
    budget = RestartBudget()
    pauses = [budget.delay_after_exit() for _ in range(MOST_EXITS)]
    assert pauses[-1] is None
    for expected, pause in zip((1, 2, 4, 8), pauses[:-1], strict=True):
        assert pause == pytest.approx(expected, rel=0.21)
    budget.reset()
    assert budget.delay_after_exit() is not None


def test_what_each_policy_restarts() -> None:
    assert [wants_restart("on-failure", code) for code in (0, 3, None)] == [False, True, True]
    assert [wants_restart("always", code) for code in (0, 3, None)] == [True, True, True]
    assert [wants_restart("never", code) for code in (0, 3, None)] == [False, False, False]
