"""The scenarios: each a plain function over a Driver, some seconds long. The order is that of recording.

`needs` names the field of the CLI's script without which a scenario can't be: a CLI that trusts every folder has no
`trust`, one that runs commands unasked no `question` but `unasked`, and so on.
"""

from collections.abc import Callable

from msgspec import Struct

from meshd_core.testing.corpus.driver import Driver, HomeKind, ScenarioFailed
from meshd_core.testing.corpus.scripts import Script
from meshd_core.types import Size

SMALLER = Size(rows=30, cols=90)


class Scenario(Struct, frozen=True):
    name: str
    run: Callable[[Driver], None]
    """Gets a driver whose agent was started."""
    home: HomeKind = "ready"
    needs: str | None = None

    def possible(self, script: Script) -> bool:
        return self.needs is None or getattr(script, self.needs) not in (None, False)


def first_run(d: Driver) -> None:
    for step in d.script.first_run or ():
        d.pass_screen(step)
    if not d.script.first_run:
        d.wait_ready()
    d.wait(1)


def trust(d: Driver) -> None:
    assert d.script.trust is not None
    d.pass_screen(d.script.trust)
    if d.script.trust_restarts:
        d.wait_end()
    else:
        d.wait_ready()
        d.wait(1)


def login(d: Driver) -> None:
    assert d.script.login is not None
    d.pass_screen(d.script.login)
    d.wait_ready()
    d.wait(1)


def ready(d: Driver) -> None:
    d.wait_ready()
    d.wait(4)


def _prompt(text: str) -> Callable[[Driver], None]:
    def run(d: Driver) -> None:
        d.wait_ready()
        d.submit(text)
        d.wait_turn_over()

    return run


def _rows(count: int) -> str:
    return "\n".join(f"row {n} of a prompt; äöü 日本 🎉" for n in range(1, count + 1))


def said_again(d: Driver) -> None:
    """An answer that begins with all that an earlier one said."""
    d.wait_ready()
    for text in ("LONG60", "LONG70"):
        d.submit(text)
        d.wait_turn_over()


def tool_approved(d: Driver) -> None:
    _asked(d)
    d.wait(1)
    d.answer(accept=True)
    d.wait_turn_over()


def tool_denied(d: Driver) -> None:
    _asked(d)
    d.wait(1)
    d.answer(accept=False)
    d.wait(4)


def tool_waiting(d: Driver) -> None:
    _asked(d)
    d.wait(6)


def _asked(d: Driver) -> None:
    d.wait_ready()
    d.submit("TOOL touch made-by-a-tool")
    d.wait_question()


def tool_unasked(d: Driver) -> None:
    d.wait_ready()
    d.submit("TOOL sleep 2 && echo ran")
    d.wait_turn_over()


def two_queued(d: Driver) -> None:
    d.wait_ready()
    d.submit("SLOW3 first")
    d.wait(0.5)
    d.queue("second of the queue")
    d.wait(0.5)
    d.queue("third of the queue")
    d.wait_turn_over()


def interrupt(d: Driver) -> None:
    d.wait_ready()
    d.submit("SLOW8 to be interrupted")
    d.wait(2)
    d.interrupt()
    d.wait(4)


def rate_limited(d: Driver) -> None:
    d.wait_ready()
    d.submit("ERR429x2 then well again")
    if not d.wait_given_up(25):
        d.interrupt()
    d.wait(2.5)


def _refused(text: str, patience_s: float) -> Callable[[Driver], None]:
    def run(d: Driver) -> None:
        d.wait_ready()
        d.submit(text)
        if not d.wait_given_up(patience_s):
            d.wait(0.3)
            d.interrupt()
        d.wait(2.5)

    return run


def hang(d: Driver) -> None:
    d.wait_ready()
    d.submit("HANG6 not a byte")
    d.wait_turn_over()


def crash(d: Driver) -> None:
    d.wait_ready()
    d.submit("SLOW8 until it is killed")
    d.wait(2)
    d.crash()


def leave(d: Driver) -> None:
    d.wait_ready()
    d.wait(0.5)
    d.exit()


def resume(d: Driver) -> None:
    d.wait_ready()
    d.submit("remember the kiwi")
    d.wait_turn_over()
    d.restart(resume=True)
    # Some stand still for seconds, with their box drawn, before they load it.
    d.wait_for_text("remember the kiwi")
    d.wait_ready()
    d.submit("what was it?")
    d.wait_turn_over()
    if not any("remember the kiwi" in one.earlier for one in d.exchanges()):
        raise ScenarioFailed("the resumed agent did not send what was said before")


def resize_busy(d: Driver) -> None:
    d.wait_ready()
    d.submit("SLOW4 meanwhile resized")
    d.wait(1.5)
    d.resize(SMALLER)
    d.wait_turn_over()


def human_typing(d: Driver) -> None:
    d.wait_ready()
    d.type_keys("please answer tomorrow")
    d.type_keys("\x7f" * 8, 0.15)
    d.wait(0.8)
    d.type_keys("this by hand")
    d.wait(0.5)
    d.enter("please answer this by hand")
    d.wait_turn_over()


SCENARIOS: tuple[Scenario, ...] = (
    Scenario("first-run", first_run, home="fresh", needs="first_run"),
    Scenario("trust", trust, home="untrusted", needs="trust"),
    Scenario("login", login, home="keyless", needs="login"),
    Scenario("ready", ready),
    Scenario("one-line", _prompt("one line of a prompt")),
    Scenario("multi-line-3", _prompt(_rows(3))),
    Scenario("multi-line-40", _prompt(_rows(40))),
    Scenario("multi-line-300", _prompt(_rows(300))),
    Scenario("slow-answer", _prompt("SLOW5 please")),
    Scenario("long-answer", _prompt("LONG60")),
    Scenario("longer-answer", _prompt("LONG150")),
    Scenario("said-again", said_again),
    Scenario("markdown", _prompt("MD")),
    Scenario("tool-approved", tool_approved, needs="question"),
    Scenario("tool-denied", tool_denied, needs="question"),
    Scenario("tool-waiting", tool_waiting, needs="question"),
    Scenario("tool-unasked", tool_unasked, needs="unasked"),
    Scenario("two-queued", two_queued),
    Scenario("interrupt", interrupt),
    Scenario("rate-limited", rate_limited),
    Scenario("unauthorized", _refused("ERR401 no entry", 6)),
    Scenario("server-error", _refused("ERR500 all the time", 6)),
    Scenario("hang", hang),
    Scenario("crash", crash),
    Scenario("exit", leave),
    Scenario("resume", resume, needs="resumes"),
    Scenario("resize-busy", resize_busy),
    Scenario("human-typing", human_typing),
)
