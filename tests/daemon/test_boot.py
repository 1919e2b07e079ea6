"""Each life of a daemon has a greater id than the one before, whatever the clock says."""

from pathlib import Path

import pytest

from meshd_core.clock import next_ulid, ulid
from meshd_core.daemon.boot import new_boot_id


def test_ids_grow_though_the_clock_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_790_000_000_000
    monkeypatch.setattr("meshd_core.clock.now_ms", lambda: now)
    made = [new_boot_id(tmp_path)]
    for back_ms in (0, 86_400_000, 1, 10**12):
        now -= back_ms
        made.append(new_boot_id(tmp_path))
    assert made == sorted(set(made))
    assert all(len(one) == 26 for one in made)
    assert oct((tmp_path / "boot").stat().st_mode & 0o777) == "0o600"


@pytest.mark.parametrize("text", ["", "garbage\n", "Z" * 26, "\xff" * 26])
def test_a_file_that_holds_no_id_is_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / "boot").write_text(text, encoding="latin-1")
    made = new_boot_id(tmp_path)
    assert (tmp_path / "boot").read_text() == f"{made}\n"


def test_the_next_id_is_just_greater() -> None:
    first = ulid()
    assert next_ulid(first) > first
    assert next_ulid("0" * 25 + "Z") == "0" * 24 + "10"
