"""Since when a row is seen."""

from meshd_core.terminal.transcript_ages import RowAges


def test_a_row_that_is_away_for_a_moment_keeps_its_age_once() -> None:
    ages = RowAges()

    def look(now: float, *rows: str) -> list[float]:
        found = [round(ages.since(row, now), 3) for row in rows]
        ages.looked(now)
        return found

    assert look(1.0, "one", "two") == [1.0, 1.0]
    assert look(1.2, "two") == [1.0]
    assert look(1.25, "one", "two") == [1.05, 1.0]
    assert look(1.3, "two") == [1.0]
    assert look(1.35, "one", "two") == [1.35, 1.0]
    assert look(1.4) == []
    assert look(1.6, "two") == [1.6]
