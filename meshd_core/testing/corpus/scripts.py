"""What a scenario has to know of a CLI to drive it: texts to wait for and keys to type. Plain data, by eye.

Kept apart from the kinds' rules on purpose: the corpus judges those, so it must not be made with them.
"""

from msgspec import Struct


class Step(Struct, frozen=True):
    """A screen that asks something before the agent is ready: text to wait for, then keys (empty: stay there)."""

    text: str
    keys: str = ""


class Script(Struct, frozen=True):
    """One CLI. A scenario whose field is None or empty here is left out for it."""

    ready: tuple[str, ...]
    """All of them on the screen once prompts are taken."""
    exit: tuple[str, ...]
    """Writes, 0.3 s apart, that make it leave at an empty input box."""
    box: str = ""
    """What the input box has whenever it is drawn, which may be before the rest of `ready`; empty: the whole of it."""
    interrupt: tuple[str, ...] = ("\x1b",)
    interrupted: tuple[str, ...] = ()
    """Any of them on the screen once an interrupt has had its effect, or a denial."""
    question: str | None = None
    """On the screen while it asks whether a command may run; None: it never asks."""
    accept: str = ""
    deny: str = "\x1b"
    trust: Step | None = None
    """In a folder that it does not know."""
    trust_restarts: bool = False
    """It ends when it has been told, to be started again."""
    login: Step | None = None
    """With a key that it was not told to use."""
    first_run: tuple[Step, ...] | None = None
    """With no configuration at all; empty: it is ready for prompts at once."""
    arguments: tuple[str, ...] = ()
    resume_arguments: tuple[str, ...] = ()
    """For a kind whose `launch` does not know how to resume."""
    unasked: bool = False
    """It runs commands without a question."""
    resumes: bool = True
    ready_after_s: float = 0.0
    """Seconds from the start before which keys may be swallowed, whatever the screen shows."""
    settle_s: float = 0.6
    """Between text and Enter."""
    gives_up_after_s: float = 9.0
    """Without another try of a failed request for so long, it has given up."""
    pace: float = 1.0
    """What a scenario's pauses are multiplied by: below 1 where nobody scores the recording."""


SCRIPTS: dict[str, Script] = {
    "claude": Script(
        ready=("? for shortcuts",),
        box="❯",
        exit=("\x04", "\x04"),
        interrupted=("Interrupted ·",),
        question="Do you want to proceed?",
        accept="1",
        trust=Step("Accessing workspace:", "\x1b[A\r"),
        login=Step("Detected a custom API key", "\x1b[A\r"),
        first_run=(Step("Unable to connect to Anthropic services"),),
        arguments=("--permission-mode", "manual"),
    ),
    "codex": Script(
        ready=("›",),
        exit=("\x04",),
        interrupted=("Conversation interrupted",),
        question="Would you like to run the following command?",
        accept="y",
        trust=Step("Trust this folder?", "\r"),
        first_run=(Step("Choose how you want to use Codex"),),
        ready_after_s=4.0,
    ),
    "opencode": Script(
        ready=("ctrl+p commands",),
        exit=("\x03",),
        interrupt=("\x1b", "\x1b"),
        interrupted=("· interrupted",),
        question="Permission required",
        first_run=(),
        accept="\r",
        ready_after_s=6.0,
        settle_s=1.0,
        gives_up_after_s=12.0,
    ),
    "gemini": Script(
        # The box is drawn first, and what is typed before the rest is there gets lost.
        ready=("Type your message", "Gemini CLI v"),
        box="Type your message",
        exit=("/quit", "\r"),
        interrupted=("Request cancelled.",),
        question="Allow execution of",
        accept="1",
        trust=Step("Do you trust the files in this folder?", "\r"),
        trust_restarts=True,
        first_run=(Step("Do you trust the files in this folder?"),),
        ready_after_s=2.0,
        gives_up_after_s=20.0,
    ),
    "pi": Script(
        ready=("fake-model",),
        exit=("\x04",),
        interrupted=("Operation aborted", "Aborted after"),
        unasked=True,
        resume_arguments=("--continue",),
        gives_up_after_s=12.0,
    ),
    "demo": Script(
        ready=("demo>",),
        exit=("\x04",),
        interrupt=("\x03",),
        question="Allow the demo to continue?",
        accept="y",
        deny="n",
        resumes=False,
        settle_s=0.2,
        gives_up_after_s=1.0,
        pace=0.35,
    ),
}
