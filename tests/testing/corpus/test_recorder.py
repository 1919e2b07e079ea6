"""The demo agent with a model is recorded: what the recordings say is what happened."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from meshd_core.contracts.kinds import AgentSession, Observation, Run
from meshd_core.terminal.emulator import Emulator
from meshd_core.testing.corpus.cast import Cast, read_cast
from meshd_core.testing.corpus.driver import ScenarioFailed, Subject
from meshd_core.testing.corpus.recorder import record, save
from meshd_core.testing.corpus.scenarios import SCENARIOS
from meshd_core.testing.corpus.truth import Truth, acceptable, read_truth
from meshd_core.testing.demo_kind import DemoKind

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


def _recorded(demo: Subject, name: str) -> tuple[Cast, Truth]:
    return record(demo, BY_NAME[name])


def _states(truth: Truth) -> list[tuple[str, ...]]:
    return [span.states for span in truth.states]


def _shown(cast: Cast) -> str:
    return "".join(event.data for event in cast.output())


def _screen(cast: Cast, at: float) -> str:
    """What a replay of the recording shows at `at`."""
    emulator = Emulator(cast.header.height, cast.header.width)
    for event in cast.output():
        if event.at <= at:
            emulator.feed(event.data.encode())
    text = emulator.text()
    emulator.close()
    return text


def test_one_prompt(demo: Subject, tmp_path: Path) -> None:
    cast, truth = _recorded(demo, "one-line")
    assert _states(truth) == [(), ("idle",), (), ("busy",), ("idle",)]
    (prompt,) = truth.prompts
    assert prompt.received == ("one line of a prompt",)
    assert prompt.reply == "You said: one line of a prompt"
    assert prompt.requested is not None
    assert prompt.first_byte is not None
    assert prompt.last_byte is not None
    assert prompt.entered <= prompt.requested <= prompt.first_byte <= prompt.last_byte < truth.ends
    assert acceptable(truth.states, prompt.last_byte + 0.001) == ("idle",)
    assert truth.lines == ("You said: one line of a prompt",)
    assert truth.exit is None
    assert truth.lines[0] in _shown(cast)
    path = save(cast, truth, tmp_path)
    assert read_cast(path) == cast
    assert read_truth(tmp_path / "demo-0.1.0/one-line.truth.json") == truth


class _Listening(AgentSession):
    """Reports once it has been told that the terminal moved."""

    def __init__(self) -> None:
        self._moved = asyncio.Event()

    async def watch(self, report: Callable[[Observation], None]) -> None:
        await self._moved.wait()
        report(Observation("api", "moved", "idle"))

    def terminal_moved(self) -> None:
        self._moved.set()


class _ListeningKind(DemoKind):
    def session(self, run: Run) -> AgentSession:
        return _Listening()


def test_the_agents_channel_hears_of_its_output_as_in_a_slot(demo: Subject) -> None:
    truth = record(msgspec.structs.replace(demo, kind=_ListeningKind()), BY_NAME["ready"])[1]
    assert [report.observation.rule for report in truth.channel] == ["moved"]


def test_many_lines_arrive_whole(demo: Subject) -> None:
    (prompt,) = _recorded(demo, "multi-line-300")[1].prompts
    assert prompt.text.count("\n") == 299
    assert prompt.received == (prompt.text,)


def test_a_question_that_is_accepted(demo: Subject) -> None:
    cast, truth = _recorded(demo, "tool-approved")
    states = _states(truth)
    assert states[:2] == [(), ("idle",)]
    assert ("waiting",) in states
    assert states[-1] == ("idle",)
    assert truth.prompts[0].reply == "tool finished: done"
    assert truth.prompts[0].received == ("TOOL touch made-by-a-tool",)
    (asked,) = (event.at for event in cast.events if event == (event.at, "m", "question"))
    assert "Allow the demo to continue?\n  y  accept" in _screen(cast, asked)
    assert acceptable(truth.states, asked + 0.01) == ("waiting",)


def test_a_question_that_is_denied(demo: Subject) -> None:
    truth = _recorded(demo, "tool-denied")[1]
    assert _states(truth)[-3:] == [("waiting",), (), ("idle",)]
    assert truth.lines == ()


def test_prompts_that_are_queued(demo: Subject) -> None:
    truth = _recorded(demo, "two-queued")[1]
    first, second, third = truth.prompts
    assert [prompt.received for prompt in truth.prompts] == [(prompt.text,) for prompt in truth.prompts]
    assert first.last_byte is not None
    assert second.requested is not None
    assert second.entered < first.last_byte < second.requested
    assert ("idle",) not in [span.states for span in truth.states if first.entered < span.since < second.requested]
    assert third.reply == "You said: third of the queue"


def test_an_interrupt(demo: Subject) -> None:
    truth = _recorded(demo, "interrupt")[1]
    assert _states(truth) == [(), ("idle",), (), ("busy",), (), ("idle",)]
    assert truth.lines == ()
    assert "word80" not in truth.prompts[0].reply


def test_a_model_that_refuses_twice(demo: Subject) -> None:
    truth = _recorded(demo, "rate-limited")[1]
    states = _states(truth)
    assert states[:3] == [(), ("idle",), ()]
    assert [one for one in states if "limited" in one] == [("limited", "busy")]
    assert states[-1] == ("idle",)
    assert truth.prompts[0].reply == "You said: ERR429x2 then well again"


def test_a_model_that_refuses_for_good(demo: Subject) -> None:
    truth = _recorded(demo, "server-error")[1]
    assert _states(truth)[-2:] == [("limited", "busy"), ("idle",)]
    assert truth.prompts[0].reply == ""


def test_a_crash_and_a_polite_exit(demo: Subject) -> None:
    truth = _recorded(demo, "crash")[1]
    assert (truth.exit, _states(truth)[-2:]) == (-9, [("busy",), ()])
    cast, truth = _recorded(demo, "exit")
    assert (truth.exit, _states(truth)) == (0, [(), ("idle",), ()])
    assert cast.events[-1].at <= truth.ends


def test_hands_and_sizes(demo: Subject) -> None:
    cast, truth = _recorded(demo, "human-typing")
    typed = [event.data for event in cast.events if event.code == "i"]
    assert len(typed) > 20
    assert truth.prompts[0].received == ("please answer this by hand",)
    cast, truth = _recorded(demo, "resize-busy")
    assert [event.data for event in cast.events if event.code == "r"] == ["90x30"]


@pytest.mark.parametrize("name", ["first-run", "trust", "login", "tool-unasked", "resume"])
def test_what_a_cli_does_not_have_is_left_out(demo: Subject, name: str) -> None:
    assert not BY_NAME[name].possible(demo.script)


def test_what_does_not_come_fails_with_the_screen(demo: Subject) -> None:
    def impatient(driver: object) -> None:
        driver.wait_for_text("never shown", within_s=1.5)  # type: ignore[attr-defined]

    scenario = type(BY_NAME["ready"])("impatient", impatient)
    with pytest.raises(ScenarioFailed, match=r"never shown[\s\S]*demo>"):
        record(demo, scenario)
