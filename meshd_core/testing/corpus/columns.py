"""The columns of the report's tables: what each tells of one recording or of many, and what it means."""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from meshd_core.testing.corpus.floors import Known, Summary, Times, summary
from meshd_core.testing.corpus.following import GRACE_S
from meshd_core.testing.corpus.phases import DRAWING_S
from meshd_core.testing.corpus.results import Result
from meshd_core.testing.corpus.state_score import FLICKER_S
from meshd_core.testing.corpus.states import SETTLES_WITHIN_S

NOTHING = "-"
"""There was nothing to judge."""


class Column(Struct, frozen=True):
    """`metrics`: the floors (see `floors.Floors`) that the cell is about."""

    name: str
    cell: Callable[[Sequence[Result]], str]
    metrics: tuple[str, ...] = ()

    def without_known(self, found: Sequence[Result], known: Mapping[str, Known]) -> str:
        """The cell of those recordings that are not known to miss one of the floors that it is about."""
        held = [one for one in found if not self._exempt(known.get(one.recording.name))]
        return self.cell(held) if held else NOTHING

    def _exempt(self, entry: Known | None) -> bool:
        return entry is not None and any(metric in entry.values() for metric in self.metrics)


def _of(name: str, cell: Callable[[Summary], str], *metrics: str) -> Column:
    return Column(name, lambda found: cell(summary([one.score for one in found])), metrics)


def _share(value: float | None) -> str:
    # Rounded down: what is not all there must not look so.
    return NOTHING if value is None else f"{int(value * 1000 + 1e-6) / 1000:.3f}"


def _times(found: Times, *, median: bool = False, of: str = "") -> str:
    if found.p50 is None or found.p95 is None or found.max is None:
        return NOTHING
    values = [found.p50, found.p95, found.max] if median else [found.p95, found.max]
    return f"{' / '.join(f'{value:.2f}' for value in values)} ({found.count}{of})"


def _limited(total: Summary) -> str:
    one = total.limited
    return f"{one.said} of {one.waits}, {_share(one.said_s / one.wait_s)}" if one.waits else NOTHING


def _approvals(total: Summary) -> str:
    delay = NOTHING if total.approval_p95 is None else f"{total.approval_p95:.2f}"
    return f"{total.approvals_seen} of {total.approvals}, {delay}" if total.approvals else NOTHING


def _replies(total: Summary) -> str:
    return f"{total.replies - total.replies_missing} of {total.replies}" if total.replies else NOTHING


def _screen_only(found: Sequence[Result]) -> str:
    total = summary([one.screen_only for one in found])
    if total.accuracy is None and total.recall is None:
        return NOTHING
    return f"{_share(total.accuracy)} / {_share(total.recall)}"


def _unknown_version(found: Sequence[Result]) -> str:
    shares = [one.unknown_version.running for one in found if one.unknown_version is not None]
    judged = sum(share.judged for share in shares)
    if not judged:
        return NOTHING
    right, unknown = sum(share.right for share in shares) / judged, sum(share.unknown for share in shares) / judged
    return f"{_share(right)} / {_share(unknown)} / {_share(max(0.0, 1 - right - unknown))}"


def _fewer_patterns(found: Sequence[Result]) -> str:
    each = [one.fewer_patterns for one in found if one.fewer_patterns]
    cells = []
    for lines in zip(*each, strict=True):
        emitted, expected = sum(one.emitted for one in lines), sum(one.expected for one in lines)
        precise = 1 - sum(len(one.noise) for one in lines) / emitted if emitted else None
        cells.append(f"{_share(precise)} / {_share(1 - sum(len(one.missing) for one in lines) / expected)}")
    return ", ".join(cells) or NOTHING


COLUMNS = (
    _of("judged", lambda total: _share(total.judged)),
    _of("right", lambda total: _share(total.accuracy), "accuracy"),
    _of("unknown", lambda total: _share(total.unknown), "accuracy"),
    _of("stuck", lambda total: _share(total.stuck), "accuracy"),
    _of("starts", lambda total: _share(total.start), "start"),
    _of("flicker", lambda total: str(total.flickers), "flickers"),
    _of("idle too early", lambda total: str(total.early), "early"),
    _of("→ busy", lambda total: _times(total.to_busy), "delay_p95"),
    _of("→ idle", lambda total: _times(total.to_idle), "delay_p95"),
    _of("→ waiting", lambda total: _times(total.to_waiting), "delay_p95"),
    _of("idle after last byte", lambda total: _times(total.idle, median=True, of=f" of {total.turns}"), "delay_p95"),
    _of("limited said", _limited),
    _of("asked", _approvals, "approvals"),
    _of("dialogs", lambda total: str(total.dialogs) if total.approvals else NOTHING, "dialogs"),
    _of("precise", lambda total: _share(total.precision), "precision"),
    _of("recall", lambda total: _share(total.recall), "recall"),
    _of("doubled", lambda total: NOTHING if total.recall is None else str(total.doubled), "doubled"),
    _of("replies whole", _replies, "replies_missing"),
    _of("replies doubled", lambda total: str(total.replies_doubled) if total.replies else NOTHING, "replies_doubled"),
    _of("line delay", lambda total: _times(total.line_delays, median=True)),
    Column("screen only", _screen_only, ("accuracy", "recall")),
    Column("new version", _unknown_version, ("accuracy",)),
    Column("fewer patterns", _fewer_patterns, ("precision", "recall")),
)
MEANING = f"""\
- **Judged**: share of the recordings' time that is judged for its state. All of it is, but for up to {GRACE_S:g} s
  after a change of truth in which the state of before was still said: how long that took is the delay.
- **Right**: share of the judged time in which the state was right, from the agent's readiness on. A change that was
  not followed within {GRACE_S:g} s counts as wrong from its beginning, and so does, at once, whatever had been left
  and is said again. Where facts don't tell the very moment of a change, the state before it and the one after it are
  right, in this order, and nothing else is:
  - Enter to the request's arrival: idle, then busy. Keys before Enter are no work: idle.
  - Request to the answer's last byte: busy. Then idle, but until the answer stands on the screen (at most
    {DRAWING_S:g} s) busy as well. Idle before the last byte is wrong.
  - A tool call to its question: busy, then waiting. An answer's key to the next request: waiting (at most
    {SETTLES_WITHIN_S:g} s), then busy.
  - An interrupt's or a denial's key: idle at the latest when the agent has written that it was interrupted, or after
    {SETTLES_WITHIN_S:g} s. All agents that write it do so within 0.7 s of the key; some write nothing when they only
    waited for another try, or after a denial.
  - Between the tries of a request that was refused: limited or busy, in any order.
  - From the keys that make an agent leave to its end: the state of before, then unknown.
- **Unknown**, **stuck**: shares of the same time in which that was said.
- **Starts**: likewise for the time before readiness: unknown is right, and the screens that ask for trust or a login
  are onboarding; idle is right once the input box is drawn. Readiness is when the box has stood still for a second:
  that an agent takes what is typed as soon as idle is said, is not seen here (the scenarios wait).
- **Flicker**: states said for less than {FLICKER_S * 1000:g} ms that were wrong when they came.
- **Idle too early**: how often idle came to be said between Enter and the last byte of the turn.
- **→ busy**, **→ idle**, **→ waiting**: seconds from a change of truth to the state's being said, the 95th percentile
  and the maximum, and of how many changes. States that were said before they were true are no changes. To idle the
  time begins when the answer stands on the screen.
- **Idle after last byte**: seconds from the last byte of a turn's answer, as the fake model sent it, to the first idle
  that stays, with no excuse for drawing: median, 95th percentile, maximum, and of how many turns
  (idle was said before the last byte in the others: too early, or the turn was too short to be told).
- **Limited said**: in how many of the waits after a 429 `limited` was said, and for which share of their time;
  all tries of one prompt are one wait. Busy is right as well: some agents don't show why they wait.
- **Asked**: approvals whose question, options and exact command were seen, of those that the agent asked for; and the
  95th percentile of the seconds from the question's being on the screen until then. **Dialogs**: how many they were
  told as.
- **Precise**: share of the transcript's lines that somebody said: the model, the person, or the agent of what it did.
  Banners, tips, spinners, and rows of dialogs are noise.
- **Recall**, **doubled**: share of the model's lines (those that fit a row and whose look doesn't depend on markdown)
  that the transcript holds, and lines that it holds once too often.
- **Replies whole**, **replies doubled**: of the model's replies that were sent whole, those that stand in the
  transcript in one piece, letter by letter; and those of which it holds a row or all more often than they were said.
- **Line delay**: seconds from the output that made a line whole on the screen until it is told: median, 95th
  percentile, maximum, and of how many lines.
- **Screen only**: right / recall, without the agent's own channels (its API, its status file, its log). Rows that an
  agent never drew are told from its own records, where those were recorded: all other numbers of lines are with them.
- **New version**: right / unknown / wrong, if the plugin had no data of this version. Never wrong is the aim. Nothing
  is told where the plugin has no rule that depends on the version.
- **Fewer patterns**: precise / recall, if the screen of a new version had changed: without one of the plugin's
  patterns for rows (input box, dialogs, banner, spinner and so on), another one in each recording; and without all of
  them, which is what is made of a program that nothing is known of. Of recordings in which the model said something.
"""
