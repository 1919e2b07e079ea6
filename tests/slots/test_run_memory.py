"""What of a run outlives its daemon."""

from pathlib import Path

from meshd_core.auth.agent_tokens import AgentTokens
from meshd_core.config.model import SlotSection
from meshd_core.pty.messages import ChildInfo
from meshd_core.slots.run_memory import RunMemory
from meshd_core.slots.run_record import EARLIER_RUNS

SECTION = SlotSection(name="one", kind="x")


def memory(folder: Path) -> RunMemory:
    """Another daemon's with each call."""
    return RunMemory("one", folder, AgentTokens())


def child(run: str) -> ChildInfo:
    return ChildInfo(run=run, slot="one", pid=1, started_at_ms=0, meta={"id": f"launched-{run}"})


def began(kept: RunMemory, run: str, found: str | None = None) -> None:
    kept.about_to_start(SECTION)
    kept.began(run)
    if found is not None:
        kept.resumable({"id": found})


def test_what_was_found_out_of_a_run_is_that_runs(tmp_path: Path) -> None:
    kept = memory(tmp_path)
    began(kept, "first", "a")
    later = memory(tmp_path)
    record = later.take_over(child("first"), SECTION)
    assert (later.found_out, record.resume, record.earlier) == ({"id": "a"}, {"id": "a"}, ())
    began(later, "second")
    assert (later.found_out, memory(tmp_path).take_over(child("second"), SECTION).earlier) == ({}, ({"id": "a"},))


def test_a_daemon_that_died_while_it_started_an_agent_gave_it_no_conversation_of_the_one_before(
    tmp_path: Path,
) -> None:
    kept = memory(tmp_path)
    began(kept, "first", "a")
    kept.about_to_start(SECTION)
    later = memory(tmp_path)
    record = later.take_over(child("second"), SECTION)
    assert (later.found_out, record.resume, record.earlier) == ({}, {}, ({"id": "a"},))


def test_a_daemon_that_died_twice_while_it_started_an_agent_mixed_up_no_conversations(tmp_path: Path) -> None:
    memory(tmp_path).about_to_start(SECTION)
    kept = memory(tmp_path)
    kept.take_over(child("first"), SECTION)
    kept.resumable({"id": "a"})
    kept.changed(SECTION, alive=True)
    again = memory(tmp_path)
    assert again.take_over(child("first"), SECTION).run == "first"
    assert again.found_out == {"id": "a"}
    again.about_to_start(SECTION)
    later = memory(tmp_path)
    record = later.take_over(child("second"), SECTION)
    assert (later.found_out, record.run, record.earlier) == ({}, "second", ({"id": "a"},))


def test_a_conversation_of_an_unknown_run_is_no_other_runs_and_a_resume_goes_on_with_it(tmp_path: Path) -> None:
    kept = memory(tmp_path)
    kept.about_to_start(SECTION)
    kept.resumable({"id": "a"})
    later = memory(tmp_path)
    record = later.take_over(child("first"), SECTION)
    assert (later.found_out, record.run, record.earlier) == ({}, "first", ({"id": "a"},))


def test_a_run_without_a_record_gets_one_that_is_its_own(tmp_path: Path) -> None:
    kept = memory(tmp_path)
    kept.take_over(child("first"), SECTION)
    kept.resumable({"id": "a"})
    later = memory(tmp_path)
    assert (later.take_over(child("first"), SECTION).run, later.found_out) == ("first", {"id": "a"})


def test_a_conversation_that_goes_on_counts_once_and_not_all_are_kept(tmp_path: Path) -> None:
    kept = memory(tmp_path)
    for number in range(3):
        began(kept, f"r{number}", "same")
    began(kept, "last")
    record = memory(tmp_path).last_run(SECTION)
    assert record is not None
    assert (record.resume, record.earlier) == ({}, ({"id": "same"},))
    for number in range(2 * EARLIER_RUNS):
        began(kept, f"s{number}", str(number))
    record = memory(tmp_path).last_run(SECTION)
    assert record is not None
    assert [one["id"] for one in record.earlier][:2] == [str(2 * EARLIER_RUNS - 2), str(2 * EARLIER_RUNS - 3)]
    assert len(record.earlier) == EARLIER_RUNS
