"""`python -m meshd_core.testing.corpus record`: record agents into a corpus, in a network namespace without a network.

Installs what is missing first, which needs npm's registry. One line for each recording; the exit status is 1 if one
failed, whose old files are then left as they are.
"""

import argparse
import sys
import time
from pathlib import Path

from meshd_core.pty.errors import SpawnError
from meshd_core.testing.cli_cache import cache_folder, read_pins
from meshd_core.testing.corpus import namespace
from meshd_core.testing.corpus.driver import ScenarioFailed, Subject
from meshd_core.testing.corpus.recorder import record, save
from meshd_core.testing.corpus.scenarios import SCENARIOS, Scenario
from meshd_core.testing.corpus.subjects import choose, installed_kinds, subject

PROGRAM = "python -m meshd_core.testing.corpus"


def main(arguments: list[str]) -> int:
    """Record; the exit status."""
    options = _parser().parse_args(arguments)
    try:
        chosen = choose(read_pins(options.pins), _names(options.agents))
        scenarios = _scenarios(_names(options.scenarios))
        kinds = installed_kinds()
        subjects = [subject(cli, pin, cache_folder(), kinds) for cli, pin in chosen]
        if not namespace.is_inside():
            namespace.enter([sys.executable, "-m", "meshd_core.testing.corpus", "record", *arguments])
        namespace.bring_up_loopback()
    except (ValueError, RuntimeError, namespace.NoNamespace) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    failed = 0
    for one in subjects:
        for scenario in scenarios:
            failed += not _record(one, scenario, options.corpus, options.logs)
    return 1 if failed else 0


def _record(one: Subject, scenario: Scenario, corpus: Path, logs: Path | None) -> bool:
    name = f"{one.cli}-{one.version} {scenario.name}"
    if not scenario.possible(one.script):
        _say(f"{name}: left out, this CLI has no {scenario.needs}")
        return True
    started = time.monotonic()
    log = None if logs is None else logs / f"{name.replace(' ', '-')}.jsonl"
    try:
        cast, truth = record(one, scenario, log)
    except (ScenarioFailed, SpawnError, TimeoutError) as error:
        _say(f"{name}: FAILED after {time.monotonic() - started:.1f} s: {error}")
        return False
    path = save(cast, truth, corpus)
    _say(f"{name}: {truth.ends:.1f} s, {path.stat().st_size / 1024:.0f} KiB, {len(truth.prompts)} prompts")
    return True


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _scenarios(names: list[str]) -> list[Scenario]:
    known = {scenario.name: scenario for scenario in SCENARIOS}
    for name in names:
        if name not in known:
            raise ValueError(f"{name}: known scenarios are {', '.join(known)}")
    return [known[name] for name in names] if names else list(SCENARIOS)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"{PROGRAM} record", description="Record agent CLIs.")
    parser.add_argument("--pins", type=Path, required=True, help="TOML file with the agents' packages and versions")
    parser.add_argument("--corpus", type=Path, required=True, help="folder of the recordings")
    parser.add_argument("--agents", default="", help="e.g. claude,codex-0.171.0; default: all")
    parser.add_argument("--scenarios", default="", help="e.g. one-line,interrupt; default: all")
    parser.add_argument("--logs", type=Path, help="folder for what the fake model saw")
    return parser
