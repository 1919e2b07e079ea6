"""What an agent's own records held is recorded, and told again in a replay when it was there, never sooner."""

import asyncio

import pytest

from meshd_core.contracts.kinds import AgentSession, KindProfile, Rule, Run, TranscriptRules
from meshd_core.slots.unseen_rows import DRAWN_OVER_WAIT_S
from meshd_core.testing.corpus.cast import Cast, CastEvent, Header
from meshd_core.testing.corpus.driver import Driver, Subject
from meshd_core.testing.corpus.recorder import record
from meshd_core.testing.corpus.records import RecordedKind, reports
from meshd_core.testing.corpus.replay import replay
from meshd_core.testing.corpus.scenarios import Scenario
from meshd_core.testing.corpus.truth import RecordReport, Truth
from meshd_core.testing.corpus.virtual_time import run_in_virtual_time
from meshd_core.testing.demo_kind import DemoKind
from meshd_core.types import Conversation, Message

ASKED = Message("1", "user", "log", "please", None)
ANSWER = [f"paragraph {n} of a long answer" for n in range(1, 41)]
ROWS = 12
PROFILE = KindProfile(
    name="x", title="X", commands=("x",), install_hint="", output="screen",
    rules=(Rule("idle", "idle", r"^>"),), transcript=TranscriptRules(live=(r"^>",)),
)  # fmt: skip


def _said(text: str, number: int = 2) -> Message:
    return Message(str(number), "agent", "log", text, None)


def _truth(*records: RecordReport) -> Truth:
    return Truth("x", "1", "made-up", 80, ROWS, "", (), (), (), (), ends=10.0, records=records)


def _screen(rows: list[str]) -> str:
    return "\x1b[H" + "".join(f"{row}\x1b[K\r\n" for row in rows) + "> "


def _lines(*records: RecordReport, channel: bool = True) -> list[tuple[float, str]]:
    """What is told of an agent that draws its prompt, the beginning of an answer, and then the end of it."""
    drawn = [["please"], ["please", *ANSWER[:3]], ANSWER[-ROWS + 1 :]]
    events = [(1.0 + n, ("" if n else "\x1b[?1049h") + _screen(rows)) for n, rows in enumerate(drawn)]
    return _told(events, *records, channel=channel)


def _told(events: list[tuple[float, str]], *records: RecordReport, channel: bool = True) -> list[tuple[float, str]]:
    cast = Cast(Header(80, ROWS), tuple(CastEvent(at, "o", data) for at, data in events))
    told = replay(cast, _truth(*records), PROFILE, "1", channel=channel).lines
    return [(line.at, line.text) for line in told if line.text]


def test_each_report_has_what_the_one_before_had_not() -> None:
    told = [
        Conversation((ASKED,)),
        Conversation((ASKED, _said("one"))),
        Conversation((ASKED, _said("one and two"), _said("three", 3))),
        Conversation((ASKED,), warning="broken"),
        Conversation((), "api"),
    ]
    found = tuple(reports((float(at), one) for at, one in enumerate(told)))
    assert [(one.kept, len(one.messages)) for one in found] == [(0, 1), (1, 1), (1, 2), (1, 0), (0, 0)]

    async def again() -> list[Conversation | None]:
        session = RecordedKind(_truth(*found)).session(Run("x", 0, 0, "", {}, {}))
        seen = []
        for _ in told:
            seen.append(await session.messages())
            await asyncio.sleep(1)
        return seen

    assert run_in_virtual_time(again()) == told


def test_rows_that_were_never_drawn_come_from_what_was_recorded_in_their_place() -> None:
    told = _lines(RecordReport(1.5, 0, (ASKED,)), RecordReport(3.4, 1, (_said("\n".join(ANSWER)),)))
    assert [text for _, text in told] == ["please", *ANSWER]
    assert all(at >= 3.4 for at, text in told if text in ANSWER[3:])


def test_nothing_is_known_that_was_not_recorded_yet() -> None:
    without = ["please", *ANSWER[:3], *ANSWER[-ROWS + 1 :]]
    late = RecordReport(9.5, 0, (ASKED, _said("\n".join(ANSWER))))
    assert [text for _, text in _lines(late)] == without
    assert [text for _, text in _lines()] == without
    known = RecordReport(0.0, 0, late.messages)
    assert [text for _, text in _lines(known, channel=False)] == without


@pytest.mark.parametrize("pause", [0.0, 0.1])
def test_rows_that_were_drawn_over_come_from_what_was_recorded_and_are_told_once(pause: float) -> None:
    said = [*ANSWER, "the end of it"]
    drawn = "\r\n".join(["please", *said, "> "])
    over = "\x1b[2K\x1b[1A" * 3 + "\x1b[2K\rthe end of it\x1b[K\r\n> "
    begun = [(1.0, drawn + over)] if not pause else [(1.0, drawn), (1.0 + pause, over)]
    later = [(4.0, f"\x1b[2J\x1b[3J\x1b[H{drawn}"), (6.0, "\x1b[2K\rand more\r\n> ")]
    answer = (ASKED, _said("\n".join(said)))
    told = _told([*begun, *later], RecordReport(1.5, 0, answer))
    assert [text for _, text in told] == ["please", *said, "and more"]
    assert all(at < 2 for at, text in told if text != "and more")
    told = _told(begun, RecordReport(1.5, 0, answer[:1]))
    assert [text for _, text in told] == ["please", *ANSWER[:-2], said[-1]]
    assert told[-1][0] < 1.5 + DRAWN_OVER_WAIT_S


class _Remembering(DemoKind):
    def session(self, run: Run) -> AgentSession:
        return _Memory()


class _Memory(AgentSession):
    """Can't be read at first."""

    def __init__(self) -> None:
        self._asked = 0

    async def messages(self) -> Conversation:
        self._asked += 1
        if self._asked == 1:
            raise OSError("not up yet")
        return Conversation((ASKED, _said("done")) if self._asked > 3 else (ASKED,))


def test_the_recorder_asks_the_session_again_and_again(demo: Subject) -> None:
    def waits(driver: Driver) -> None:
        driver.wait_ready()
        driver.wait(1)
        assert not driver.channel.conversations()
        driver.submit("hello")
        driver.until(lambda: len(driver.channel.conversations()) > 1, 20, "an answer")
        driver.exit()

    subject = Subject("demo", "0.1.0", _Remembering(), demo.command, demo.script, demo.home)
    _, truth = record(subject, Scenario("waits", waits))
    first, second = truth.records
    assert (first.kept, first.messages) == (0, (ASKED,))
    assert (second.kept, second.messages) == (1, (_said("done"),))
    assert 0 <= first.at < second.at <= truth.ends
