"""Agent kinds: how an agent CLI is launched, typed into and read.

A kind is data (`KindProfile`: recipes, rules, patterns) plus only the code that is truly its own. Core owns the one
machine that detects states, types prompts and turns a screen into lines; a kind never touches the terminal itself.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from msgspec import Struct, field
from packaging.specifiers import SpecifierSet

from meshd_core.types import ActivityState, Conversation, DialogOption, Source, Stage

MENU = "menu"
"""The kind of dialog that a command opens: no work on a prompt, and what it offers is read from the list in it."""
TIME_UNITS = {"hours": 3600, "minutes": 60, "seconds": 1}
"""Groups of a rule that say how long a limit goes on."""


class Rule(Struct, frozen=True, forbid_unknown_fields=True):
    """One marker: if `pattern` is found, the agent is in `state`.

    `pattern` is a regular expression (MULTILINE) searched in the visible screen or in the window title. `override`
    rules beat every signal: trust, login, key and theme screens, which agents' own signals do not know. `versions` is
    a PEP 440 specifier set of the agent's versions that the marker was seen in; empty means all. With a version outside
    of it the rule is not used; while the version is not known yet, it is. Raises ValueError for what is no such set.

    Groups named `hours`, `minutes` and `seconds` match numbers: how long a limit goes on, for `Activity.until`.
    """

    id: str
    state: ActivityState
    pattern: str
    where: Literal["screen", "title"] = "screen"
    override: bool = False
    dialog: str | None = None
    """Kind of dialog that the match opens (`approval`, `question`, `trust`, `menu`).

    A group named `command` is what would be run, as far as the screen shows it; `options` matches where the options
    begin, if that is not behind the question; the first other group is the question.
    Of a kind with `api_complete`, a dialog without question and options is told once its API has them, or after 1.5 s.
    """
    options: tuple[DialogOption, ...] = ()
    """What the dialog offers. With `option_pattern`: which labels mean `accept` and `deny`, exactly; several may.
    A `menu` without either offers the rows of the list in which the match, from its group `options` on, has exactly one
    marked row (`❯`, `›`, `●` at its beginning, where the cursor is); nothing where that group matches nothing, or core
    doesn't understand the list.
    """
    option_pattern: str | None = None
    """Finds each option (MULTILINE) from the question on, or from the group `options`: group `label`, group `default`
    that matches something in the marked one, group `key` with what the row itself says that chooses it."""
    advice: str | None = None
    """What a person must do about the screen: for rules of `onboarding`, which only a person gets an agent past."""
    confidence: float = 0.8
    last_rows: int = 0
    """Look only at this many rows from the last non-empty one up; 0 looks at all."""
    at_start: bool = False
    """Counts only in the agent's own start, until it was seen at work or was idle for `KindProfile.first_idle_s`: what
    stands on the screen of an agent that still loads can stand there later as well, as after a resize."""
    versions: str = ""

    def __post_init__(self) -> None:
        SpecifierSet(self.versions)
        if self.option_pattern is not None and "label" not in re.compile(self.option_pattern).groupindex:
            raise ValueError(f"rule {self.id}: option_pattern has no group 'label'")


class SubmitRecipe(Struct, frozen=True, forbid_unknown_fields=True):
    """How a prompt is typed: text (as a bracketed paste or plain), a pause, Enter in a write of its own, proof."""

    paste: Literal["bracketed", "plain", "auto"] = "bracketed"
    """`auto`: bracketed if the terminal has that mode on at the time, else plain with newlines as spaces."""
    settle_s: float = 0.3
    """Longest pause between text and Enter; ends early once the text is seen in the input box (`input_box`)."""
    min_settle_s: float = 0.0
    """Shortest pause between text and Enter, whatever the screen shows."""
    enter: str = "\r"
    confirm_s: float = 2.0
    """How long a working signal may take after Enter before the one further Enter or failure."""
    second_enter: bool = False
    """Whether one more Enter is pressed if no signal came and our own text still stands in the input box."""
    input_box: str | None = None
    """Pattern (MULTILINE | DOTALL) over the screen whose last match's group 1 is the text in the input box."""
    input_noise: str | None = None
    """Pattern (MULTILINE) of what in that group nobody typed: a frame, a placeholder that isn't drawn faint."""
    sees_drafts: bool = False
    """Whether `input_box` holds what was typed and nothing else, so that text in it before a prompt is a draft."""
    clear: str | None = None
    """Keys that empty the input box; None: this kind can't, a person must."""
    refusal: str | None = None
    """Pattern (MULTILINE) over the lines since Enter: the agent doesn't know the command that a `/` began."""


class SanitizeRules(Struct, frozen=True, forbid_unknown_fields=True):
    """What else than control characters must be made harmless in a prompt for this agent."""

    leading_bang: bool = False
    """A leading `!` runs a shell command: put two spaces before it."""
    trailing_mention: str = ""
    """Characters (as `@$`) whose word at the end opens a popup that eats Enter: append a space."""
    trailing_backslash: bool = False
    """Enter behind a backslash makes a new line: append a space."""
    refuse: tuple[str, ...] = ()
    """Patterns of prompts that are not typed: nothing makes them harmless. `exit` ends claude; pi trims
    before it looks for `!`.
    """
    newlines: Literal["keep", "space"] = "keep"
    """`space` for a CLI that has no paste mode and would run each line."""
    leading_slash: bool = False
    """A leading `/` begins a command: if what follows can't be the name of one, put a space before it."""
    invisible: str = ""
    """Invisible characters that the agent takes out, or wants a person to look at, as the inside of a regular
    expression's set: they are taken out before. Those inside emoji stay."""


class ExitRecipe(Struct, frozen=True, forbid_unknown_fields=True):
    """The polite way out, before SIGTERM and SIGKILL; each step has its own grace."""

    keys: tuple[str, ...] = ()
    """Writes, in order, as long as the agent isn't leaving; empty: no polite way, SIGTERM at once."""
    pause_s: float = 0.1
    """Between two writes: how soon it shows that it is leaving, if a key too many does harm then."""
    grace_s: float = 5.0
    term_grace_s: float = 5.0


class Keys(Struct, frozen=True, forbid_unknown_fields=True):
    """Keys that answer and interrupt; None: this kind can't."""

    accept: str | None = None
    """For dialogs whose option names no key itself."""
    deny: str | None = None
    interrupt: tuple[str, ...] = ()
    """Writes, in order, 100 ms apart: opencode takes Esc twice, but not in one write. Empty: this kind can't."""


class TranscriptRules(Struct, frozen=True, forbid_unknown_fields=True):
    """How a full-screen agent's rows become transcript lines; patterns are MULTILINE over the screen's text or a row.

    Source of the vocabulary: the compact-text-tape algorithm, docs/architecture.md.
    """

    live: tuple[str, ...] = ()
    """Over the screen: the region from the earliest of the last matches down is live (input box, dialogs, status).
    Where nothing matches it begins at the box, or else the row, that the cursor stands in.
    """
    drop: tuple[str, ...] = ()
    """Over a row: never a line (banner, tips, spinner verbs). Logos, and rows of block elements and braille alone, need
    none.
    """
    strip: tuple[str, ...] = ()
    """Over a row: text removed from it (gutters)."""
    echo: tuple[str, ...] = ()
    """Over a row: an echoed prompt: exempt from holding back the last row; may stay above an answer that scrolls."""
    panel: tuple[str, ...] = ()
    """Over the alternate screen: where one matches, a panel stands beside the text, no line of it, from the column on
    in which its one group begins."""


class Variant(Struct, frozen=True, forbid_unknown_fields=True):
    """What is otherwise in some versions of an agent: each part that is given stands in the place of the profile's.

    `versions` is a PEP 440 specifier set. While the agent's version is not known, and in versions that no variant
    covers, the profile's own parts count: they must be safe in every version. Rules are no part of it, each has
    `versions` of its own. Raises ValueError for what is no specifier set.
    """

    versions: str
    submit: SubmitRecipe | None = None
    sanitize: SanitizeRules | None = None
    exit: ExitRecipe | None = None
    keys: Keys | None = None
    transcript: TranscriptRules | None = None

    def __post_init__(self) -> None:
        SpecifierSet(self.versions)


class KindProfile(Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that core must know of an agent to drive it."""

    name: str
    title: str
    """For people: 'Claude Code'."""
    commands: tuple[str, ...]
    """Binary and fixed arguments; `commands[0]` is looked up on PATH."""
    install_hint: str
    """One sentence that says how to get the CLI."""
    output: Literal["lines", "screen"] = "screen"
    """`lines`: prints and scrolls, the text filter is exact. `screen`: draws; the emulator is the truth."""
    proves: Stage = "written"
    """The highest stage that this kind can prove: `written`, `submitted` or `completed`."""
    signals: bool = False
    """Whether OSC 7501 status signals count as evidence."""
    rules: tuple[Rule, ...] = ()
    submit: SubmitRecipe = field(default_factory=SubmitRecipe)
    sanitize: SanitizeRules = field(default_factory=SanitizeRules)
    exit: ExitRecipe = field(default_factory=ExitRecipe)
    keys: Keys = field(default_factory=Keys)
    transcript: TranscriptRules = field(default_factory=TranscriptRules)
    first_idle_s: float = 0.0
    """How long its first idleness in a run must have lasted before a prompt is typed: an agent that resumes a
    conversation may look ready for a moment, before it loads it and takes no keys. Until then work that only its own
    signals or API report is of its start, and not told."""
    quiet_s: float = 2.0
    """Without any idle evidence, silence of this length counts as ready for typing (the activity stays unknown)."""
    stuck_after_s: float = 600.0
    """Silence while busy after which the activity is `stuck`."""
    api_complete: bool = False
    """The session's own API reports idle reliably; it outranks the screen for the end of a turn."""
    resume_args: tuple[str, ...] = ()
    """Arguments that continue the last conversation, for a kind without a `launch` of its own."""
    measured: tuple[str, ...] = ()
    """The agent's versions, exactly, that all of this was measured with."""
    variants: tuple[Variant, ...] = ()
    """What is otherwise in some versions; where several cover a version, the later one wins, part by part."""


class LaunchSpec(Struct, frozen=True):
    """What a slot's configuration asks for; the input of `AgentKind.launch`."""

    slot: str
    node: str
    command: tuple[str, ...]
    """The slot's own command or the kind's default."""
    args: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    """The environment that the agent will have, already scrubbed of the daemon's secrets."""
    resume: bool = False
    resume_args: tuple[str, ...] = ()
    """The profile's, if the last conversation is to be continued."""
    last_meta: Mapping[str, str] = field(default_factory=dict)
    """`Launch.meta` of the slot's last run and its session's `resume_meta`, for resuming; empty if there was none."""
    earlier_meta: tuple[Mapping[str, str], ...] = ()
    """Likewise of the runs before it, the newest first, as far as they were not resumed."""

    def conversations(self, key: str) -> Iterator[str]:
        """What `key` is in `last_meta` and in those before, if the last conversation is to be continued. That of the
        last run may never have been used: an agent that crashed may have been started anew, unasked.
        """
        for meta in (self.last_meta, *self.earlier_meta) if self.resume else ():
            if key in meta:
                yield meta[key]


class Launch(Struct, frozen=True):
    """How to start the agent."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the agent's environment."""
    meta: Mapping[str, str] = field(default_factory=dict)
    """What the kind needs again after an adoption (session id, port). In the keeper's memory, never on disk."""


class Observation(Struct, frozen=True):
    """One report of an agent's state from one source. A later one from the same source replaces it."""

    source: Source
    rule: str
    state: ActivityState
    matched: str = ""
    confidence: float = 0.9
    dialog_kind: str | None = None
    question: str | None = None
    command: str | None = None
    """What runs, or would be run if it is approved, exactly. One report may say it and another that it waits."""
    options: tuple[DialogOption, ...] = ()
    option_keys: Mapping[str, str] = field(default_factory=dict)
    """By option id: what its row says that chooses it."""
    until: str | None = None
    dialog_key: str | None = None
    """What tells the question that is asked, or the call that `command` is of, from others with the same words: its id
    in the agent's own records. Questions with different keys are different dialogs."""
    advice: str | None = None
    """What a person must do about it."""


class Run(Struct, frozen=True):
    """One run of an agent's process, as a session sees it."""

    slot: str
    pid: int
    started_at_ms: int
    cwd: str
    env: Mapping[str, str]
    """The environment at launch; empty after an adoption, where only `meta` is known."""
    meta: Mapping[str, str]
    """`Launch.meta`."""
    found_out: Mapping[str, str] = field(default_factory=dict)
    """After an adoption: the last `resume_meta` of this run's session in an earlier daemon, so newer than `meta`."""


class Turn(Struct, frozen=True):
    """One prompt that the agent took: what it was and when Enter was pressed (wall clock, ms)."""

    prompt: str
    entered_at_ms: int


class AgentSession:
    """The agent's own channels during one run: its HTTP API, its session log, its status file.

    Core makes one for each run (after an adoption too), runs `watch` as a task of the slot and cancels it at the
    agent's exit. An exception is logged, attributed to the plugin and restarts `watch` after a pause.
    """

    async def watch(self, report: Callable[[Observation], None]) -> None:
        """Report observations until cancelled. The default has no channel of its own and returns."""

    def terminal_moved(self) -> None:
        """The agent's terminal had output, up to some 50 times a second: what is polled may have changed (`Pace`)."""

    async def finished(self, turn: Turn) -> bool | None:
        """Whether the agent's own records show `turn` taken and over; None: this kind has none. Asked while no sign of
        work is seen. Without records its lines must do: the prompt, and an answer below it.
        """
        return None

    async def began(self, turn: Turn) -> bool | None:
        """Whether the agent's own records show that any turn began since Enter; None: they can't tell. Asked of a
        command of the agent's own after a sign of work, which may be that of a new conversation (`/new`).
        """
        return None

    async def reply(self, turn: Turn) -> str | None:
        """The agent's full answer to `turn`, empty if it said nothing, or None where only the screen knows. Called
        once, when the turn ended.
        """
        return None

    async def failure(self, turn: Turn) -> str | None:
        """The words of the error that ended `turn`, as a refusal of its model; None: it ended well, or nobody knows.
        Called once, after `reply`.
        """
        return None

    async def answer(self, dialog_key: str, choice: str) -> bool:
        """Answer the question that was reported with this `dialog_key`; `choice` is the id of an option, or `deny`.

        False, also for what is not open any more: nothing was answered, and core presses the kind's key, if it has one.
        """
        return False

    async def messages(self) -> Conversation | None:
        """The conversation as the agent's own records hold it; None: this kind has none.

        Called for each request, one call at a time. What blocks belongs into a thread, what is read needs a bound: core
        waits some seconds. Of records that are broken give what can be read, with a `warning`. If it raises, takes too
        long, or gives a warning and no messages, core shows the injected prompts or the terminal's lines instead.
        """
        return None

    def version(self) -> str | None:
        """The agent's version, once known. Asked for at the beginning and with each report."""
        return None

    def resume_meta(self) -> Mapping[str, str]:
        """What a later start with `resume` needs, as far as it is known: added to `LaunchSpec.last_meta`.

        Asked for at the beginning, with each report and each reply, and at the end. It is kept on disk: the ids of a
        conversation, no secrets.
        """
        return {}


class AgentKind:
    """Base class of all kinds; an instance is stateless and shared by all slots of its kind."""

    profile: KindProfile

    def options_type(self) -> type[Struct] | None:
        """The type of `[slots.options]` for this kind, decoded strictly; None: the kind has no options."""
        return None

    def profile_for(self, options: Any) -> KindProfile:
        """The profile of one slot; `options` is an instance of `options_type()` or None."""
        return self.profile

    def launch(self, spec: LaunchSpec) -> Launch:
        """How to start the agent for `spec`. The default runs the command with the slot's arguments."""
        return Launch(argv=(*spec.command, *spec.args, *spec.resume_args))

    def session(self, run: Run) -> AgentSession:
        """The agent's own channels for `run`."""
        return AgentSession()
