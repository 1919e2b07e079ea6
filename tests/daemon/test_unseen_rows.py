"""An agent on the alternate screen that draws the end of an answer only: its records have the rows above."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from meshd_core.testing.daemon import DaemonProcess
from meshd_core.testing.plugin_files import install
from meshd_core.types import SlotDetail

KIND = """
import json, os, pathlib
from meshd_core.api import AgentKind, AgentSession, Conversation, ConversationBuilder, KindProfile, hookimpl

WORDS = pathlib.Path(os.environ["WORDS"])

class Session(AgentSession):
    async def messages(self):
        if not WORDS.exists():
            return None
        build = ConversationBuilder()
        for number, (role, text) in enumerate(json.loads(WORDS.read_text())):
            (build.user if role == "user" else build.agent)(str(number), text, 0)
        return Conversation(build.messages())

class Ends(AgentKind):
    profile = KindProfile(
        name="ends", title="ends", commands=("sh",), install_hint="", output="screen", proves="written",
    )
    def session(self, run):
        return Session()

@hookimpl
def meshd_agent_kinds(ctx):
    return [Ends()]
"""
PROMPT = "› the prompt of a person"
SAID = [f"row {n} of what the agent said" for n in range(40)]


class Drawing:
    """A slot of 10 rows whose program draws screens, and the words that its records have."""

    def __init__(self, folder: Path) -> None:
        self._pipe, self._words = folder / "pipe", folder / "words.json"
        self._pipe.touch()
        plugin = install(folder, "ends_kind", KIND)
        script = f'stty raw -echo; printf "\\033[?1049h"; exec tail -f {self._pipe}'
        slots = f"[[slots]]\nname = 's'\nkind = 'ends'\nrows = 10\ncols = 60\ncommand = ['sh', '-c', '{script}']\n"
        self.daemon = DaemonProcess(folder, slots, {**plugin, "WORDS": str(self._words)})

    def draw(self, *screens: list[str]) -> None:
        """Have exactly these rows on the screen, one screen right after the other."""
        frames = []
        for rows in screens:
            text = "".join(f"\x1b[{y + 1};1H\x1b[K{row}" for y, row in enumerate([*rows, *[""] * (10 - len(rows))]))
            frames.append(f"\x1b[?2026h{text}\x1b[?2026l")
        with self._pipe.open("a") as pipe:
            pipe.write("".join(frames))

    def say(self, *messages: tuple[str, str]) -> None:
        """What its records have from now on."""
        new = self._words.with_suffix(".new")
        new.write_text(json.dumps(messages))
        new.replace(self._words)

    def gaps(self) -> int:
        """How often this daemon told that rows are missing."""
        return self.daemon.get("/slots/s", SlotDetail).counters.gaps

    def lines(self, last: str) -> list[str]:
        """The lines, once `last` is there."""
        deadline = time.monotonic() + 20
        while last not in (told := self.daemon.lines("s")):
            assert time.monotonic() < deadline, told
            time.sleep(0.05)
        return [line for line in told if line]


@pytest.fixture
def drawing(short_tmp: Path) -> Iterator[Callable[[], Drawing]]:
    made: list[Drawing] = []

    def make() -> Drawing:
        one = Drawing(short_tmp)
        made.append(one)
        one.daemon.start()
        one.draw([PROMPT])
        one.lines(PROMPT)
        time.sleep(1.2)  # the point: for a second after the screen was cleared, rows are those from before
        return one

    yield make
    for one in made:
        one.daemon.shutdown()


def test_rows_that_were_never_drawn_are_told_before_those_that_were(drawing: Callable[[], Drawing]) -> None:
    one = drawing()
    one.say(("user", PROMPT[2:]), ("agent", "\n".join(SAID)))
    one.draw(SAID[-10:])
    assert one.lines(SAID[-1]) == [PROMPT, *SAID]
    assert b'"gap":null' in one.daemon.call("GET", "/output/s?since=oldest")


def test_words_that_come_late_are_waited_for_and_two_jumps_are_two_answers(drawing: Callable[[], Drawing]) -> None:
    one = drawing()
    one.say(("user", "another prompt"), ("agent", "other words"))
    one.draw(SAID[12:20])
    time.sleep(0.4)  # the point: rows have settled, and what stands above them is not known yet
    one.draw(SAID[-10:])
    time.sleep(0.4)
    assert one.lines(PROMPT) == [PROMPT]
    one.say(("user", "another prompt"), ("agent", "other words"), ("user", PROMPT[2:]), ("agent", "\n".join(SAID)))
    assert one.lines(SAID[-1]) == [PROMPT, *SAID]


def test_a_line_that_is_too_long_is_told_in_pieces(drawing: Callable[[], Drawing]) -> None:
    one = drawing()
    long = "".join(f"{number}x" for number in range(120_000))
    one.say(("user", PROMPT[2:]), ("agent", "\n".join([long, *SAID])))
    one.draw(SAID[-10:])
    told = one.lines(SAID[-1])
    assert told[-len(SAID) :] == SAID
    assert "".join(told[1 : -len(SAID)]).endswith(long[-100_000:])


def test_control_characters_of_the_records_are_in_no_line(drawing: Callable[[], Drawing]) -> None:
    one = drawing()
    one.say(("user", PROMPT[2:]), ("agent", "\n".join(["\x1b[31mred\x07\tand so on\r", *SAID])))
    one.draw(SAID[-10:])
    assert one.lines(SAID[-1])[1:] == ["[31mred and so on", *SAID]


def test_each_jump_has_its_own_time_to_be_answered(drawing: Callable[[], Drawing]) -> None:
    one = drawing()
    one.say(("user", "another prompt"), ("agent", "other words"))
    one.draw(SAID[12:20])
    time.sleep(4)  # the point: the question about these is asked seldom by now
    one.draw(SAID[-10:])
    time.sleep(2.5)
    one.say(("user", "another prompt"), ("agent", "other words"), ("user", PROMPT[2:]), ("agent", "\n".join(SAID)))
    told = one.lines(SAID[-1])
    assert told[-20:] == SAID[-20:]


def test_rows_come_all_the_same_where_nobody_knows_what_was_above(drawing: Callable[[], Drawing]) -> None:
    one = drawing()
    one.say(("user", PROMPT[2:]), ("agent", "words that were never drawn"))
    one.draw(SAID[-10:])
    assert one.lines(SAID[-1]) == [PROMPT, *SAID[-10:]]


def test_a_kind_without_records_is_not_waited_for(drawing: Callable[[], Drawing]) -> None:
    one = drawing()
    one.draw(SAID[-10:])
    assert one.lines(SAID[-1]) == [PROMPT, *SAID[-10:]]


def test_what_was_filled_in_is_not_told_again_by_a_kill_nor_when_it_is_drawn_later(
    drawing: Callable[[], Drawing],
) -> None:
    one = drawing()
    one.say(("user", PROMPT[2:]), ("agent", "\n".join(SAID)))
    one.draw(SAID[-10:])
    one.lines(SAID[-1])
    one.daemon.kill()
    one.daemon.start()
    one.draw(SAID[20:30])
    one.draw([*SAID[-9:], "the end of it all"])
    assert one.lines("the end of it all") == [PROMPT, *SAID, "the end of it all"]


def test_rows_that_wait_are_asked_for_anew_when_the_daemon_is_killed_meanwhile(
    drawing: Callable[[], Drawing],
) -> None:
    one = drawing()
    one.say(("user", "another prompt"), ("agent", "other words"))
    one.draw(SAID[-10:])
    time.sleep(0.5)  # the point: they have settled, and wait
    one.daemon.kill()
    one.say(("user", PROMPT[2:]), ("agent", "\n".join(SAID)))
    one.daemon.start()
    assert one.lines(SAID[-1]) == [PROMPT, *SAID]


def test_what_is_missing_is_told_when_the_daemon_is_killed_while_it_asks(drawing: Callable[[], Drawing]) -> None:
    one = drawing()
    one.say(("user", "another prompt"), ("agent", "other words"))
    one.draw([PROMPT, "a row that no one has told yet"], SAID[-10:])
    assert one.lines("a row that no one has told yet") == [PROMPT, "a row that no one has told yet"]
    one.daemon.kill()
    one.daemon.start()
    assert one.lines(SAID[-1]) == [PROMPT, "a row that no one has told yet", *SAID[-10:]]
    assert one.gaps() == 1


def test_rows_that_went_by_while_no_daemon_was_there_are_asked_for(drawing: Callable[[], Drawing]) -> None:
    one = drawing()
    one.daemon.kill()
    one.say(("user", PROMPT[2:]), ("agent", "\n".join(SAID)))
    one.draw(SAID[-10:])
    one.daemon.start()
    assert one.lines(SAID[-1]) == [PROMPT, *SAID]
