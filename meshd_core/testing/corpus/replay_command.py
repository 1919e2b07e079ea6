"""`python -m meshd_core.testing.corpus replay` and `report`: what is seen in recordings, and how right that is."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from meshd_core.testing.corpus.floors import known_text, read_known, shortfalls, summary
from meshd_core.testing.corpus.prompts import read_prompts
from meshd_core.testing.corpus.record_command import PROGRAM
from meshd_core.testing.corpus.recordings import Profiles, Recording, Way, recordings, replayed
from meshd_core.testing.corpus.replay import Replay
from meshd_core.testing.corpus.report import page
from meshd_core.testing.corpus.results import Result, results
from meshd_core.testing.corpus.score import Score, score
from meshd_core.testing.corpus.subjects import installed_kinds


def replay_main(arguments: list[str]) -> int:
    """Replay the recordings that are named; the exit status."""
    return _guarded(_replay, _replay_parser().parse_args(arguments))


def report_main(arguments: list[str]) -> int:
    """Score a corpus; the exit status."""
    return _guarded(_report, _report_parser().parse_args(arguments))


def _guarded(command: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    try:
        return command(options)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2


def _replay(options: argparse.Namespace) -> int:
    profiles = Profiles(options.corpus, installed_kinds())
    way = Way(channel=not options.without_channel, known=not options.as_unknown_version)
    for recording in recordings(options.corpus, options.names):
        replay = replayed(recording, profiles.of(recording.truth.cli), way)
        scored = score(recording.truth, replay)
        if options.json:
            _say(_json({"name": recording.name, "replay": replay, "score": scored}))
        else:
            _say(_text(recording, replay, scored))
    return 0


def _report(options: argparse.Namespace) -> int:
    found = results(options.corpus, installed_kinds())
    if options.json:
        _say(_json([_summed(one) for one in found]))
        return 0
    if options.known:
        scores = {one.recording.name: one.score for one in found}
        _say(known_text(scores, read_known(options.corpus)).rstrip("\n"))
        return 0
    text = page(found, read_known(options.corpus), read_prompts(options.corpus))
    if options.output is None:
        _say(text.rstrip("\n"))
    elif options.check:
        if not options.output.exists() or options.output.read_text() != text:
            sys.stderr.write(f"error: {options.output} is stale; run: make agents-report\n")
            return 1
    else:
        options.output.write_text(text)
    return 0


def _summed(one: Result) -> dict[str, Any]:
    return {
        "name": one.recording.name,
        "summary": summary([one.score]),
        "failures": one.score.failures,
        "screen_only": summary([one.screen_only]),
        "unknown_version": one.unknown_version,
    }


def _text(recording: Recording, replay: Replay, scored: Score) -> str:
    """Everything that happened in order of time: truth, what was said, lines; then the failures."""
    happened = [(span.since, f"truth  {'/'.join(span.states) or '-'}") for span in recording.truth.states]
    for moment in replay.timeline:
        by = ", ".join(f"{evidence.source}:{evidence.rule}" for evidence in moment.evidence)
        asked = f"  {moment.dialog.kind}: {moment.dialog.question!r}" if moment.dialog else ""
        happened.append((moment.at, f"said   {moment.state}  {by}{asked}"))
    happened += [(line.at, f"line   {line.text}") for line in replay.lines]
    lines = [f"{at:9.3f}  {what}" for at, what in sorted(happened, key=lambda one: one[0])]
    for failure in scored.failures:
        got = f"{failure.got}  {failure.rule}".rstrip()
        lines.append(f"{failure.at:9.3f}  FAILED {failure.what}: expected {failure.expected}, got {got}")
    short = shortfalls(summary([scored]))
    verdict = ", ".join(f"{name} {value:g}" for name, value in short.items()) or "all floors reached"
    return "\n".join([f"== {recording.name}", *lines, f"   {verdict}"])


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _parser(name: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"{PROGRAM} {name}", description=description)
    parser.add_argument("--corpus", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _replay_parser() -> argparse.ArgumentParser:
    parser = _parser("replay", "Replay recordings: what was seen when, by which rule, and what was wrong.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="beginning of a name, e.g. codex-0.171.0/tool")
    parser.add_argument("--without-channel", action="store_true", help="leave out the agent's own channels")
    parser.add_argument(
        "--as-unknown-version", action="store_true", help="by the rules for versions that the kind has no data of"
    )
    return parser


def _report_parser() -> argparse.ArgumentParser:
    parser = _parser("report", "Score all recordings: a Markdown page, or JSON.")
    parser.add_argument("--output", type=Path, help="write the page to this file instead of printing it")
    parser.add_argument("--known", action="store_true", help="print the list of what fails, as known.toml has it")
    parser.add_argument("--check", action="store_true", help="only say whether that file is up to date")
    return parser
