"""The demo agent: a small terminal program that behaves as coding agents do, without a model.

Run as `python -m meshd_core.testing.demo_agent`. It has a prompt, a spinner while it works, an approval dialog, and
says what it is doing by OSC 7501 status signals. Prompts: `slow N`, `lines N [RATE]`, `ask`, `fail`, `exit N`, `hang`;
anything else is echoed. Keys: Ctrl-U clears the input, Ctrl-C interrupts, Ctrl-D on an empty input or `/exit` ends it.
Each prompt taken is one JSON line, `{"t", "text"}`, in the file that MESHD_DEMO_LOG names. Stdlib only.
"""

import json
import os
import signal
import sys
import time
from collections import deque

from meshd_core.testing.demo_terminal import ESCAPE_WAIT_S, Key, KeyReader, Terminal

PROMPT = "demo> "
QUESTION = "Allow the demo to continue?"
DIALOG = f"{QUESTION}\r\n  y  accept\r\n  n  deny\r\n[y/n] "
LOG_VARIABLE = "MESHD_DEMO_LOG"
FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
FRAME_S = 0.1
BATCH_S = 0.005
"""`lines` writes what is due this often, so that a high rate costs no wake-up a line."""
DEFAULT_RATE = 1000.0
MAX_PENDING_BYTES = 64 * 1024
"""`lines` waits while the terminal has not taken so much."""
MAX_TYPED_AHEAD = 100
_ERASE = "\r\x1b[K"
_FOLD_OVER, _FOLD_TO = 400, 100
_CONTROLS = {code: "?" for code in (*range(32), *range(127, 160)) if code != ord("\t")}
"""C0 and C1 control characters: an answer must not move the cursor."""


class Exit(Exception):
    """The agent ends, with `status`."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Lines:
    """The work of `lines N RATE`: which numbered lines are due; a rate of 0 is as fast as the terminal takes them."""

    __slots__ = ("_count", "_next", "_rate", "_started")

    def __init__(self, count: int, rate: float) -> None:
        self._count = count
        self._rate = rate
        self._next = 1
        self._started = time.monotonic()

    def due(self) -> str:
        """The lines due now, at most 1,000."""
        last = self._count
        if self._rate > 0:
            last = min(last, int((time.monotonic() - self._started) * self._rate) + 1)
        last = min(last, self._next + 999)
        text = "".join([f"line {number}\r\n" for number in range(self._next, last + 1)])
        self._next = max(self._next, last + 1)
        return text

    @property
    def finished(self) -> bool:
        return self._next > self._count

    def wait_s(self) -> float:
        """Seconds until a line is due, in steps of BATCH_S."""
        if self._rate <= 0:
            return 0.0
        return max(BATCH_S, self._started + (self._next - 1) / self._rate - time.monotonic())


class Demo:
    """The agent: its input line, the prompts typed ahead, and the one piece of work that it is doing."""

    def __init__(self, terminal: Terminal, log_path: str | None) -> None:
        self._terminal = terminal
        self._log_path = log_path
        self._keys = KeyReader()
        self._input = ""
        self._queue: deque[str] = deque()
        self._state = "idle"  # idle, slow, lines, asking, hung
        self._since = 0.0
        self._slow_s = 0.0
        self._lines: Lines | None = None
        self._spinner_on = False
        self._next_frame = 0.0
        self._prompt_due = True

    def run(self) -> int:
        """Serve the terminal until told to end; the exit status."""
        self._say("\x1b[?2004h\x1b]2;demo\x1b\\demo agent ready, try: slow 2, lines 10 5, ask, fail\r\n")
        try:
            while True:
                self._take_next()
                self._terminal.flush()
                timeout_s = ESCAPE_WAIT_S if self._keys.undecided else self._timeout_s()
                data = self._terminal.wait(timeout_s)
                keys = self._keys.feed(data) if data else self._keys.settle()
                for key in keys:
                    self._press(key)
                    self._take_next()
                self._work()
        except Exit as end:
            self._say(f"{_ERASE}\x1b[?2004l")
            self._signal("state=clear")
            return end.status

    # -- keys

    def _press(self, key: Key) -> None:
        if self._state == "hung":
            return
        if key.name == "C-c":
            self._interrupt()
        elif self._state == "asking":
            self._answer(key)
        elif key.name in ("text", "paste"):
            self._type(key.text.replace("\r\n", "\n").replace("\r", "\n"))
        elif key.name == "backspace" and self._input:
            self._input = self._input[:-1]
            self._show_input()
        elif key.name == "C-u":
            self._input = ""
            self._show_input()
        elif key.name == "C-d" and not self._input:
            raise Exit(0)
        elif key.name == "enter":
            self._enter()

    def _type(self, text: str) -> None:
        self._input += text
        if self._state == "idle":
            self._say(_visible(text))
        elif self._spinner_on:
            self._spin()

    def _enter(self) -> None:
        text, self._input = self._input, ""
        if text.strip() == "/exit":
            raise Exit(0)
        if text.strip() and len(self._queue) < MAX_TYPED_AHEAD:
            self._log(text)
            self._queue.append(text)
        self._prompt_due = True

    def _interrupt(self) -> None:
        if self._state == "idle":
            self._input = ""
            self._show_input()
        elif self._state == "asking":
            self._answer(Key("escape"))
        else:
            self._end_work("interrupted", "")

    def _answer(self, key: Key) -> None:
        """The dialog takes y, n and Escape; Enter and anything pasted do nothing, so that no blind Enter approves."""
        if key.name == "escape" or (key.name == "text" and key.text[:1] in "nN"):
            self._end_work("denied")
        elif key.name == "text" and key.text[:1] in "yY":
            self._end_work("accepted")

    def _log(self, text: str) -> None:
        if not self._log_path:
            return
        line = json.dumps({"t": time.time(), "text": text}, ensure_ascii=False) + "\n"
        fd = os.open(self._log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(fd, line.encode("utf-8", "replace"))
        finally:
            os.close(fd)

    # -- work

    def _take_next(self) -> None:
        """Start on the next prompt; if there is none and work has ended, say so and show the input line."""
        while self._state == "idle" and self._queue:
            text = self._queue.popleft()
            self._say(f"{_ERASE}{PROMPT}{_visible(text)}\r\n")
            self._signal("state=working")
            self._since = time.monotonic()
            self._next_frame = self._since + FRAME_S
            self._prompt_due = True
            self._begin(text)
        if self._state == "idle" and self._prompt_due:
            self._prompt_due = False
            self._signal("state=idle")
            self._show_input()

    def _begin(self, text: str) -> None:
        command, *arguments = text.split() or [""]
        numbers = _numbers(arguments)
        match command, numbers:
            case "slow", [seconds]:
                self._state, self._slow_s = "slow", seconds
            case "lines", [count, *rate] if len(rate) < 2:
                self._state, self._lines = "lines", Lines(int(count), rate[0] if rate else DEFAULT_RATE)
            case "exit", [status]:
                raise Exit(int(status) & 255)
            case "ask", []:
                self._state = "asking"
                self._say(DIALOG)
                self._signal("state=blocked", ":kind=permission")
            case "fail", []:
                self._end_work("error: it failed", "state=error")
            case "hang", []:
                self._state = "hung"
                self._terminal.listen(False)
            case _:
                answer = "\r\n".join(line.translate(_CONTROLS) for line in text.split("\n"))
                self._end_work(f"echo: {answer}")

    def _work(self) -> None:
        """Do what is due, then the spinner."""
        now = time.monotonic()
        if self._state == "lines" and self._lines is not None:
            self._print_due(self._lines)
        elif self._state == "slow" and now >= self._since + self._slow_s:
            self._end_work(f"slow: done after {self._slow_s:g} s")
        if self._state in ("slow", "lines") and now >= self._next_frame:
            self._next_frame = now + FRAME_S
            self._spin()

    def _print_due(self, lines: Lines) -> None:
        if self._terminal.pending_bytes >= MAX_PENDING_BYTES:
            return
        text = lines.due()
        if text:
            self._say((_ERASE if self._spinner_on else "") + text)
            self._spinner_on = False
            self._next_frame = time.monotonic() + FRAME_S
        if lines.finished:
            self._end_work("")

    def _end_work(self, text: str, signal_state: str = "state=done") -> None:
        self._say((_ERASE if self._state != "idle" else "") + (f"{text}\r\n" if text else ""))
        self._state, self._lines, self._spinner_on = "idle", None, False
        if signal_state:
            self._signal(signal_state)

    def _timeout_s(self) -> float | None:
        if self._state in ("idle", "asking", "hung"):
            return None
        now = time.monotonic()
        wait_s = self._next_frame - now
        if self._state == "slow":
            return min(wait_s, self._since + self._slow_s - now)
        if self._lines is None or self._terminal.pending_bytes >= MAX_PENDING_BYTES:
            return wait_s
        return min(wait_s, self._lines.wait_s())

    # -- what is shown

    def _spin(self) -> None:
        if self._terminal.pending_bytes:
            return  # a terminal that is not drained gets no frames: they would pile up
        elapsed_s = time.monotonic() - self._since
        frame = FRAMES[int(elapsed_s / FRAME_S) % len(FRAMES)]
        queued = f" ({len(self._queue)} queued)" if self._queue else ""
        typed = f" > {_visible(self._input)}" if self._input else ""
        self._say(f"{_ERASE}{frame} working {elapsed_s:.1f}s{queued}{typed}")
        self._spinner_on = True

    def _show_input(self) -> None:
        if self._state == "idle":
            self._say(f"{_ERASE}{PROMPT}{_visible(self._input)}")

    def _say(self, text: str) -> None:
        self._terminal.write(text)

    def _signal(self, state: str, more: str = "") -> None:
        """An OSC 7501 status signal, as codex and claude send them (docs/architecture.md)."""
        self._terminal.write(f"\x1b]7501;{state}:app=demo{more}\x1b\\")


def _visible(text: str) -> str:
    """`text` on one row: newlines as ↵, other control characters as ?; a long text folded, as real agents do."""
    if len(text) > _FOLD_OVER:
        text = f"{text[:_FOLD_TO]}… ({len(text)} characters)"
    return text.replace("\n", "↵").replace("\t", "    ").translate(_CONTROLS)


def _numbers(arguments: list[str]) -> list[float] | None:
    """All of `arguments` as finite numbers from 0 up, or None."""
    try:
        numbers = [float(argument) for argument in arguments]
    except ValueError:
        return None
    return numbers if all(0 <= number < 1e12 for number in numbers) else None


def main() -> int:
    """The program: 0, or the status that `exit N` asked for; 1 if there is no terminal or it went away."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        sys.stderr.write("the demo agent needs a terminal\n")
        return 1
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        with Terminal() as terminal:
            return Demo(terminal, os.environ.get(LOG_VARIABLE)).run()
    except EOFError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
