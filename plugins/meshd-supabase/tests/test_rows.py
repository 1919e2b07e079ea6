"""Rows: the newest of each key, every event once, and no text that the database can't hold."""

import json
import random
from types import ModuleType
from typing import Any

from meshd_supabase.rows import Upsert, encoded, upserts


def of(table: str, made: list[Upsert]) -> list[Any]:
    return [row for upsert in made if upsert.table == table for row in upsert.rows]


def test_the_newest_state_of_each_slot_is_written_once(make: ModuleType) -> None:
    batch = [make.slot(seq, name, title=f"{name} {seq}") for seq, name in enumerate(["s1", "s2", "s1", "s1", "s2"])]
    random.Random(4).shuffle(batch)
    made = list(upserts(batch))
    assert {row.slot: row.title for row in of("meshd_slots", made)} == {"s1": "s1 3", "s2": "s2 4"}
    assert sorted(row.seq for row in of("meshd_events", made)) == [0, 1, 2, 3, 4]


def test_a_later_boot_is_newer_whatever_its_numbers(make: ModuleType) -> None:
    made = list(upserts([make.slot(1, title="new", boot=1), make.slot(900, title="old", boot=0)]))
    assert [row.title for row in of("meshd_slots", made)] == ["new"]


def test_an_event_that_is_twice_in_a_batch_is_sent_once(make: ModuleType) -> None:
    twice = make.inject(1)
    made = list(upserts([twice, make.inject(2), twice]))
    assert [row.seq for row in of("meshd_events", made)] == [1, 2]


def test_what_the_node_says_goes_in_its_own_order(make: ModuleType) -> None:
    """Both write to one row: the older one last would be dropped by the trigger."""
    for batch in ([make.heartbeat(1), make.node(2)], [make.node(1), make.heartbeat(2)]):
        for order in (batch, batch[::-1]):
            assert [row.seq for row in of("meshd_nodes", list(upserts(order)))] == [1, 2]


def test_a_node_that_ends_is_down(make: ModuleType) -> None:
    states = {
        said: of("meshd_nodes", list(upserts([make.node(1, said)])))[0].state for said in ("up", "reloaded", "down")
    }
    assert states == {"up": "up", "reloaded": "up", "down": "down"}


def test_columns_are_those_of_every_row(make: ModuleType) -> None:
    batch = [
        make.node(1),
        make.heartbeat(2),
        make.slot(3),
        make.waiting(4, "Go?", "s2"),
        make.exited(5),
        make.dialog(6),
    ]
    for upsert in upserts(batch):
        for row in json.loads(encoded(upsert.rows)):
            assert list(row) == upsert.columns.split(",")


def test_nothing_comes_of_nothing() -> None:
    assert list(upserts([])) == []


def test_text_that_the_database_cannot_hold_is_replaced_everywhere(make: ModuleType) -> None:
    for bad in ("\0", "\ud800", "\udfff", "\0\udc80"):
        batch = [make.waiting(1, f"a{bad}b"), make.slot(2, "s2", title=f"{bad}\\u0000 é 🎉")]
        for upsert in upserts(batch):
            text = encoded(upsert.rows).decode()
            assert json.loads(text) == json.loads(text.replace("\\u0000 é", "\\u0000 é"))
            found = json.dumps(json.loads(text), ensure_ascii=False)
            assert "\\u0000" not in found.replace("\\\\u0000", "")
            assert not any("\ud800" <= char <= "\udfff" for char in found)
            assert f"a{'�' * len(bad)}b" in found
            assert f"{'�' * len(bad)}\\\\u0000 é 🎉" in found


def test_good_text_is_left_as_it_is(make: ModuleType) -> None:
    title = "é 漢字 🎉 \\u0000 \x1b \x7f \ufffe \U0010ffff"
    (row,) = of("meshd_slots", list(upserts([make.slot(1, title=title)])))
    assert json.loads(encoded([row]))[0]["title"] == title
