"""Records one scenario of one agent CLI: a cast and its truth."""

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from meshd_core.testing.corpus.cast import CAST_SUFFIX, Cast, write_cast
from meshd_core.testing.corpus.driver import SIZE, Driver, Subject
from meshd_core.testing.corpus.records import reports
from meshd_core.testing.corpus.scenarios import Scenario
from meshd_core.testing.corpus.states import states
from meshd_core.testing.corpus.truth import TRUTH_SUFFIX, ChannelReport, Truth, write_truth
from meshd_core.testing.corpus.turns import model_lines, turns
from meshd_core.testing.model_backend import ModelBackend

FOLDERS = Path("/var/tmp")  # noqa: S108 - mkdtemp makes the folder
"""codex warns of a home below the folder for temporary files."""


def record(subject: Subject, scenario: Scenario, keep: Path | None = None) -> tuple[Cast, Truth]:
    """Run `scenario` once in a new home. Raises ScenarioFailed, pty.errors.SpawnError.

    `keep`: a file for the backend's log.
    """
    folder = Path(tempfile.mkdtemp(prefix="corpus-", dir=FOLDERS if FOLDERS.is_dir() else None))
    try:
        with ModelBackend(keep) as backend:
            driver = Driver(
                subject, f"{subject.cli} {subject.version}: {scenario.name}", backend, folder, scenario.home
            )
            driver.start()
            try:
                scenario.run(driver)
            except BaseException:
                driver.stop()
                raise
            return _result(driver, scenario)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _result(driver: Driver, scenario: Scenario) -> tuple[Cast, Truth]:
    terminal, facts, seen = driver.terminal, driver.facts, driver.exchanges()
    ends = terminal.now() if terminal.ended is None else terminal.ended
    driver.channel.close()
    cast = terminal.finish()
    stops = [*facts.interrupts, *([] if facts.leaving is None else [facts.leaving])]
    truth = Truth(
        cli=driver.subject.cli,
        version=driver.subject.version,
        scenario=scenario.name,
        columns=SIZE.cols,
        rows=SIZE.rows,
        recorded_at=datetime.fromtimestamp(terminal.started, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        states=states(facts, seen),
        prompts=turns(facts, seen),
        lines=model_lines(seen, stops, SIZE.cols),
        channel=tuple(
            ChannelReport(round(at - terminal.started, 3), observation) for at, observation in driver.channel.reports()
        ),
        ends=round(ends, 3),
        exit=terminal.exit if terminal.ended is not None else None,
        records=tuple(
            reports((round(at - terminal.started, 3), found) for at, found in driver.channel.conversations())
        ),
    )
    return cast, truth


def save(cast: Cast, truth: Truth, corpus: Path) -> Path:
    """Write both files into the corpus; the cast's path."""
    folder = corpus / f"{truth.cli}-{truth.version}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{truth.scenario}{CAST_SUFFIX}"
    write_cast(cast, path)
    write_truth(truth, folder / f"{truth.scenario}{TRUTH_SUFFIX}")
    return path
