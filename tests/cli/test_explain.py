"""`meshd explain` against a real daemon."""

import json
from pathlib import Path
from typing import Any, get_args

from meshd_core.cli.explain import _BLOCKS, _VERDICTS
from meshd_core.testing.daemon import DaemonProcess
from meshd_core.types import QueueBlock, Verdict


def test_every_word_of_the_wire_is_told_in_words() -> None:
    assert {*_BLOCKS} == {*get_args(QueueBlock)}
    assert {*_VERDICTS} == {*get_args(Verdict)}


def test_explain_tells_why(short_tmp: Path, meshd: Any) -> None:
    with DaemonProcess(short_tmp, '[[slots]]\nname = "demo"\nkind = "demo"\n') as daemon:
        daemon.wait_for("demo", "idle")
        told = meshd("explain", "demo", MESHD_RUNTIME_DIR=str(daemon.runtime))
        assert told.returncode == 0, told.stderr
        assert "typed now  yes" in told.stdout
        assert "demo-idle" in told.stdout
        assert "demo-busy" not in told.stdout
        assert "demo-busy" in meshd("explain", "demo", "--all", MESHD_RUNTIME_DIR=str(daemon.runtime)).stdout
        daemon.inject("demo", "ask", until="submitted")
        daemon.wait_for("demo", "waiting")
        assert "no: a dialog is open" in meshd("explain", "demo", MESHD_RUNTIME_DIR=str(daemon.runtime)).stdout
        found = json.loads(meshd("explain", "demo@test", "--json", MESHD_RUNTIME_DIR=str(daemon.runtime)).stdout)
        assert found["explain"]["queue"]["blocked_by"] == ["waiting"]
        assert meshd("explain", "nobody", MESHD_RUNTIME_DIR=str(daemon.runtime)).returncode == 1
