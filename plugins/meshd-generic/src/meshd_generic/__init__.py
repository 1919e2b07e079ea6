"""The agent kind `generic`: any CLI, described by `[slots.options]` of its slot."""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from meshd_core.api import (
    AgentKind,
    DialogOption,
    ExitRecipe,
    Keys,
    KindProfile,
    PluginContext,
    Rule,
    SanitizeRules,
    SubmitRecipe,
    TranscriptRules,
    hookimpl,
)

Seconds = Annotated[float, Meta(ge=0, le=86400)]


class GenericOptions(Struct, frozen=True, forbid_unknown_fields=True):
    """`[slots.options]` of a generic slot; README.md explains each. Patterns are regular expressions, MULTILINE."""

    output: Literal["lines", "screen"] = "lines"
    ready: str | None = None
    busy: str | None = None
    waiting: str | None = None
    limited: str | None = None
    onboarding: str | None = None
    rows: Annotated[int, Meta(ge=0, le=500)] = 5
    title_ready: str | None = None
    title_busy: str | None = None
    title_waiting: str | None = None
    signals: bool = False
    paste: Literal["bracketed", "plain"] = "plain"
    newlines: Literal["keep", "space"] | None = None
    settle_s: Seconds = 0.1
    enter: str = "\r"
    clear: str | None = None
    input_box: str | None = None
    input_noise: str | None = None
    sees_drafts: bool = False
    confirm_s: Seconds = 2.0
    second_enter: bool = False
    leading_bang: bool = False
    trailing_mention: str = ""
    refuse: tuple[str, ...] = ()
    accept: str | None = None
    deny: str | None = None
    interrupt: tuple[str, ...] = ("\x03",)
    resume: tuple[str, ...] = ()
    exit: tuple[str, ...] = ()
    exit_grace_s: Seconds = 5.0
    term_grace_s: Seconds = 5.0
    quiet_s: Seconds = 2.0
    stuck_after_s: Seconds = 600.0
    live: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    strip: tuple[str, ...] = ()
    echo: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in _PATTERNS:
            value = getattr(self, name)
            for pattern in value if isinstance(value, tuple) else (value,):
                _check_pattern(name, pattern)
        if self.input_box is not None and re.compile(self.input_box).groups < 1:
            raise ValueError("input_box: group 1 must be the text in the input line")
        if self.sees_drafts and self.input_box is None:
            raise ValueError("sees_drafts: input_box must say where the text in the input line is")

    @property
    def sees_turns(self) -> bool:
        """Whether both ends of a turn can be seen, so that more than `written` can be proven."""
        begins = self.signals or self.busy is not None or self.title_busy is not None
        ends = self.signals or self.ready is not None or self.title_ready is not None
        return begins and ends


_PATTERNS = ("ready", "busy", "waiting", "limited", "onboarding", "title_ready", "title_busy", "title_waiting",
             "input_box", "input_noise", "refuse", "live", "drop", "strip", "echo")  # fmt: skip


def _check_pattern(option: str, pattern: str | None) -> None:
    if pattern is None:
        return
    try:
        re.compile(pattern, re.MULTILINE)
    except re.error as error:
        raise ValueError(f"{option}: not a regular expression: {error}") from error
    if (
        option in ("ready", "busy", "waiting", "limited", "onboarding")
        and pattern.endswith(" ")
        and not pattern.endswith("\\ ")
    ):
        raise ValueError(f"{option}: rows are searched without the blanks at their ends: leave out the last one")


def _rules(options: GenericOptions) -> Iterable[Rule]:
    """Waiting, limited, busy, and ready last: a program that shows its prompt while it works is not idle."""
    choices = tuple(
        DialogOption(name, name) for name, keys in (("accept", options.accept), ("deny", options.deny)) if keys
    )
    if options.onboarding is not None:
        yield Rule("generic-onboarding", "onboarding", options.onboarding, override=True, dialog="login")
    if options.waiting is not None:
        yield Rule(
            "generic-waiting", "waiting", options.waiting, dialog="question", options=choices, last_rows=options.rows
        )
    if options.title_waiting is not None:
        yield Rule(
            "generic-title-waiting", "waiting", options.title_waiting, "title", dialog="question", options=choices
        )
    if options.limited is not None:
        yield Rule("generic-limited", "limited", options.limited, last_rows=options.rows)
    if options.busy is not None:
        yield Rule("generic-busy", "busy", options.busy, last_rows=options.rows)
    if options.title_busy is not None:
        yield Rule("generic-title-busy", "busy", options.title_busy, "title")
    if options.ready is not None:
        yield Rule("generic-ready", "idle", options.ready, last_rows=options.rows, confidence=0.7)
    if options.title_ready is not None:
        yield Rule("generic-title-ready", "idle", options.title_ready, "title", confidence=0.7)


def _profile(options: GenericOptions) -> KindProfile:
    newlines: Literal["keep", "space"] = "keep" if options.paste == "bracketed" else "space"
    return KindProfile(
        name="generic",
        title="Generic CLI",
        commands=(),
        install_hint="set `command` of the slot to the program that it runs",
        output=options.output,
        proves="completed" if options.sees_turns else "written",
        signals=options.signals,
        rules=tuple(_rules(options)),
        submit=SubmitRecipe(
            paste=options.paste,
            settle_s=options.settle_s,
            min_settle_s=options.settle_s if options.input_box is None else 0.0,
            enter=options.enter,
            confirm_s=options.confirm_s,
            second_enter=options.second_enter,
            input_box=options.input_box,
            input_noise=options.input_noise,
            sees_drafts=options.sees_drafts,
            clear=options.clear,
        ),
        sanitize=SanitizeRules(
            leading_bang=options.leading_bang,
            trailing_mention=options.trailing_mention,
            refuse=options.refuse,
            newlines=options.newlines or newlines,
        ),
        exit=ExitRecipe(keys=options.exit, grace_s=options.exit_grace_s, term_grace_s=options.term_grace_s),
        keys=Keys(accept=options.accept, deny=options.deny, interrupt=options.interrupt),
        transcript=TranscriptRules(live=options.live, drop=options.drop, strip=options.strip, echo=options.echo),
        resume_args=options.resume,
        quiet_s=options.quiet_s,
        stuck_after_s=options.stuck_after_s,
    )


class GenericKind(AgentKind):
    """A kind whose profile is made for each slot out of its options."""

    profile = _profile(GenericOptions())

    def options_type(self) -> type[Struct]:
        return GenericOptions

    def profile_for(self, options: Any) -> KindProfile:
        return _profile(options) if isinstance(options, GenericOptions) else self.profile


@hookimpl
def meshd_agent_kinds(ctx: PluginContext) -> Iterable[AgentKind]:
    """The kind `generic`."""
    return (GenericKind(),)
