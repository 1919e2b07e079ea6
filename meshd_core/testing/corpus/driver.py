"""A scenario's hands on a recorded agent: it types, waits, and writes down what it did as facts.

The agent is started as core starts it: by its kind's `launch`, with a home that a function of `sandbox` made. Waits
raise ScenarioFailed with the screen.
"""

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from msgspec import Struct, field

from meshd_core.contracts.kinds import AgentKind, LaunchSpec, Run
from meshd_core.pty.messages import SpawnSpec
from meshd_core.slots.sanitize import PASTE_END, PASTE_START
from meshd_core.testing.corpus.channel import Channel
from meshd_core.testing.corpus.facts import Exchange, Facts, Question, Screen, Typed, exchanges
from meshd_core.testing.corpus.scripts import Script, Step
from meshd_core.testing.corpus.terminal import RecordedTerminal
from meshd_core.testing.model_backend import ModelBackend
from meshd_core.testing.sandbox import base_environment
from meshd_core.types import Size

SIZE = Size(rows=40, cols=120)
QUIET_S = 1.0
"""The screen has to stand still for so long before the agent counts as ready."""
MAX_TAIL_S = 6.0
"""A machine that is slow is given so much more time to show an answer."""
EXIT_PAUSE_S = 0.3
KEY_PAUSE_S = 0.1
POLL_S = 0.02
HomeKind = Literal["ready", "untrusted", "keyless", "fresh"]
MakeHome = Callable[[Path, Path, str], dict[str, str]]


class ScenarioFailed(Exception):
    """The agent did not do what the scenario waited for."""


class Subject(Struct, frozen=True):
    """An agent CLI to record: `home(home, cwd, backend_url)` prepares a home and returns the environment."""

    cli: str
    version: str
    kind: AgentKind
    command: tuple[str, ...]
    script: Script
    home: MakeHome
    keyless: MakeHome | None = None
    """Likewise a home whose agent asks about its key first; None: there is no such question."""
    environment: dict[str, str] = field(default_factory=dict)


class Driver:
    """One recording. `start` first; the facts are complete once the scenario's function has returned."""

    def __init__(self, subject: Subject, title: str, backend: ModelBackend, folder: Path, home: HomeKind) -> None:
        self.subject, self.script = subject, subject.script
        self._title, self._backend = title, backend
        self._cwd = folder / "work"
        self._cwd.mkdir()
        self._environment = _make_home(subject, folder / "home", self._cwd, backend.url, home)
        self._meta: dict[str, str] = {}
        self.facts = Facts()

    # -- runs

    def start(self, *, resume: bool = False) -> None:
        """Start the agent and a new recording; what was recorded before is dropped."""
        given = (*self.script.arguments, *(self.script.resume_arguments if resume else ()))
        environment = {"COLORTERM": "truecolor", **self._environment, **self.subject.environment}
        spec = LaunchSpec(
            slot=self.subject.cli, node="corpus", command=self.subject.command, args=given, cwd=str(self._cwd),
            env=environment, resume=resume, last_meta=self._meta,
        )  # fmt: skip
        launch = self.subject.kind.launch(spec)
        environment = {**environment, **launch.env}
        spawn = SpawnSpec(spec.slot, launch.argv, environment, spec.cwd, SIZE.rows, SIZE.cols, dict(launch.meta))
        self._meta = dict(launch.meta)
        self.facts = Facts()
        self.terminal = RecordedTerminal(spawn, self._title)
        started_ms = int(self.terminal.started * 1000)
        run = Run(spec.slot, self.terminal.pid, started_ms, spec.cwd, environment, launch.meta)
        self.channel = Channel(self.subject.kind, run)
        self.terminal.on_output = self.channel.terminal_moved

    def restart(self, *, resume: bool) -> None:
        """Make the agent leave, and record its next run."""
        self.exit()
        self._meta |= self.channel.resume_meta()
        self.stop()
        self.start(resume=resume)

    def stop(self) -> None:
        self.channel.close()
        self.terminal.finish()

    # -- seeing

    def exchanges(self) -> list[Exchange]:
        """The turns' requests since the start."""
        return exchanges(self._backend.received(), self._backend.answered(), self.terminal.started)

    def wait(self, seconds: float) -> None:
        """A pause of the scenario, by the script's pace."""
        self.terminal.pump(seconds * self.script.pace)

    def until(self, condition: Callable[[], bool], within_s: float, what: str) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline or self.terminal.ended is not None:
                raise ScenarioFailed(f"{what}: not within {within_s:g} s\n{self.terminal.text()}")
            self.terminal.pump(POLL_S)

    def wait_for_text(self, text: str, within_s: float = 30.0) -> None:
        """Until `text` is on the screen, spaces and line breaks apart."""
        self.until(lambda: self.shows(text), within_s, f"the text {text!r}")

    def shows(self, text: str) -> bool:
        return _squeeze(text) in _squeeze(self.terminal.text())

    def wait_ready(self, within_s: float = 60.0) -> None:
        """Until the input box is there and the screen stands still: from here on the agent is idle."""

        def ready() -> bool:
            still = min(self._still_s(), self.terminal.now() - self.script.ready_after_s)
            return still >= QUIET_S * self.script.pace and all(self.shows(text) for text in self.script.ready)

        self.until(ready, within_s, "an input box")
        self.facts.ready.append(self.terminal.now())
        self.mark("ready")

    def wait_request(self, count: int, within_s: float = 15.0) -> None:
        """Until the backend has had `count` requests of turns."""
        self.until(lambda: len(self.exchanges()) >= count, within_s, f"request {count} of a turn")

    def wait_turn_over(self, within_s: float = 40.0, tail_s: float = 2.5) -> None:
        """Until every prompt has its whole answer; then `tail_s` and more, in which the agent shows it."""
        self.until(self._turn_over, within_s, "the end of the turn")
        self.mark("turn over")
        self.wait(tail_s)
        latest = self.terminal.now() + MAX_TAIL_S
        while self._still_s() < QUIET_S * self.script.pace and self.terminal.now() < latest:
            self.wait(POLL_S)

    def _still_s(self) -> float:
        return self.terminal.now() - self.terminal.changed_at

    def wait_given_up(self, within_s: float) -> bool:
        """Until the agent has stopped trying a request that fails; False: it still tries after `within_s`."""
        deadline = time.monotonic() + within_s
        seen, since = len(self.exchanges()), time.monotonic()
        while time.monotonic() - since < self.script.gives_up_after_s:
            self.wait(POLL_S)
            found = self.exchanges()
            if len(found) > seen:
                seen, since = len(found), time.monotonic()
                if since > deadline and found[-1].status != 200:
                    return False
            if found and self._turn_over():
                break
        return True

    def wait_end(self, within_s: float = 15.0) -> None:
        """Until the program has ended."""
        self.terminal.pump(within_s)
        if self.terminal.ended is None:
            raise ScenarioFailed(f"it did not end within {within_s:g} s\n{self.terminal.text()}")

    def _turn_over(self) -> bool:
        found = self.exchanges()
        texts = _squeeze("\n".join(text for one in found for text in (one.prompt, *one.earlier)))
        return (
            bool(found)
            and all(_squeeze(typed.text) in texts for typed in self.facts.typed)
            and found[-1].arrived >= self.facts.typed[-1].at
            and found[-1].whole
            and found[-1].status == 200
            and found[-1].tool is None
        )

    # -- typing

    def key(self, keys: str) -> None:
        self.terminal.write(keys.encode())

    def paste(self, text: str) -> None:
        self.key(f"{PASTE_START}{text}{PASTE_END}")

    def type_keys(self, text: str, pause_s: float = 0.08) -> None:
        """As a person types: one character, then a pause."""
        for character in text:
            self.key(character)
            self.wait(pause_s)

    def enter(self, text: str) -> None:
        """Enter, for `text` that stands in the input box."""
        self.channel.ask()
        self.facts.typed.append(Typed(text, self.terminal.now()))
        self.key("\r")

    def submit(self, text: str, within_s: float = 8.0) -> None:
        """Paste `text` and enter it, until the backend has it; a swallowed Enter is pressed once more."""
        before = len(self.exchanges())
        self.queue(text)
        try:
            self.wait_request(before + 1, within_s)
        except ScenarioFailed:
            self.mark("enter again")
            self.key("\r")
            self.wait_request(before + 1, 3 * within_s)

    def queue(self, text: str) -> None:
        """Paste `text` and enter it, whatever the agent does."""
        self.paste(text)
        self.wait(self.script.settle_s)
        self.enter(text)

    def interrupt(self) -> None:
        self.facts.interrupts.append(self.terminal.now())
        self.mark("interrupt")
        self._keys(self.script.interrupt)

    def wait_question(self, within_s: float = 15.0) -> None:
        """Until the agent asks for approval."""
        assert self.script.question is not None
        self.wait_for_text(self.script.question, within_s)
        self.facts.questions.append(Question(self.terminal.now()))
        self.mark("question")

    def answer(self, *, accept: bool) -> None:
        question = self.facts.questions[-1]
        question.answered, question.denied = self.terminal.now(), not accept
        self.key(self.script.accept if accept else self.script.deny)

    def pass_screen(self, step: Step, look_s: float = 1.5) -> None:
        """Wait for a screen that comes before readiness, leave it for a moment, and type its keys."""
        self.wait_for_text(step.text)
        screen = Screen(self.terminal.now())
        self.facts.screens.append(screen)
        self.mark("screen")
        self.wait(look_s)
        if step.keys:
            screen.left = self.terminal.now()
            self._keys(re.findall(r"\x1b\[[A-Z]|[^\x1b]+|\x1b", step.keys))

    def resize(self, size: Size) -> None:
        self.terminal.resize(size)

    def mark(self, label: str) -> None:
        self.terminal.mark(label)

    def exit(self, within_s: float = 15.0) -> None:
        """Make the agent leave by its own keys, and wait until it has."""
        self.facts.leaving = self.terminal.now()
        self.mark("exit")
        self._keys(self.script.exit, EXIT_PAUSE_S)
        self.wait_end(within_s)

    def crash(self) -> None:
        """Kill the agent's process group, and wait for its end."""
        self.facts.leaving = self.terminal.now()
        self.mark("kill")
        self.terminal.kill(signal.SIGKILL)
        self.wait_end()

    def _keys(self, writes: Sequence[str], pause_s: float = KEY_PAUSE_S) -> None:
        for number, keys in enumerate(writes):
            if number:
                self.wait(pause_s)
            if self.terminal.ended is None:
                self.key(keys)


def _make_home(subject: Subject, home: Path, cwd: Path, url: str, state: HomeKind) -> dict[str, str]:
    """The environment for a home that is ready, that does not know `cwd` or the key, or that has no file at all."""
    if state == "untrusted":
        # codex asks for trust in repositories only.
        subprocess.run(["git", "init", "--quiet", str(cwd)], check=True, capture_output=True)
        return subject.home(home, cwd.with_name("trusted"), url)
    if state == "keyless" and subject.keyless is not None:
        return subject.keyless(home, cwd, url)
    environment = subject.home(home, cwd, url)
    if state == "fresh":
        shutil.rmtree(home)
        home.mkdir()
        own = base_environment(home)
        # Without the folders of configuration that were named: they would have to be there.
        return own | {name: value for name, value in environment.items() if not value.startswith(str(home))}
    return environment


def _squeeze(text: str) -> str:
    return "".join(text.split())
