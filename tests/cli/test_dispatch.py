"""dispatch and broadcast against a real daemon: a node without peers is a mesh of one."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from meshd_core.testing.daemon import DaemonProcess

SLOTS = "".join(
    f'[[slots]]\nname = "s{number}"\nkind = "demo"\nlabels = {{ team = "t{number % 2}" }}\n' for number in range(3)
)


@pytest.fixture
def daemon(short_tmp: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(short_tmp, SLOTS) as running:
        for number in range(3):
            running.wait_for(f"s{number}", "idle")
        yield running


@pytest.fixture
def meshd_there(meshd: Any, daemon: DaemonProcess) -> Callable[..., Any]:
    return lambda *words, **more: meshd(*words, MESHD_RUNTIME_DIR=str(daemon.runtime), **more)


def test_one_idle_slot_that_matches_gets_the_prompt(daemon: DaemonProcess, meshd_there: Any) -> None:
    done = meshd_there("dispatch", "hello", "--label", "team:t1", "--until", "completed")
    assert (done.returncode, done.stdout) == (0, "echo: hello\n"), done.stderr
    assert "s1@test has it: " in done.stderr
    assert [number for number in range(3) if "echo: hello" in daemon.lines(f"s{number}")] == [1]


def test_without_an_idle_slot_it_is_refused_or_queued(daemon: DaemonProcess, meshd_there: Any) -> None:
    daemon.inject("s1", "slow 30", until="submitted")
    refused = meshd_there("dispatch", "hello", "--label", "team:t1")
    assert refused.returncode == 1
    assert "none is idle" in refused.stderr and "--queue" in refused.stderr
    queued = meshd_there("dispatch", "hello", "--label", "team:t1", "--queue", "--until", "accepted", "--json")
    assert (queued.returncode, json.loads(queued.stdout)["stage"]) == (0, "accepted"), queued.stderr
    assert meshd_there("dispatch", "hello", "--label", "team").returncode == 2


@pytest.mark.parametrize("verb", ["dispatch", "broadcast"])
def test_a_misspelt_node_is_told(meshd_there: Any, verb: str) -> None:
    done = meshd_there(verb, "hello", "--node", "tset")
    assert (done.returncode, done.stdout) == (1, "")
    assert "knows no node 'tset'" in done.stderr and "did you mean 'test'?" in done.stderr


def test_a_broadcast_reaches_all_that_match(daemon: DaemonProcess, meshd_there: Any) -> None:
    done = meshd_there("broadcast", "-", "--kind", "demo", "--until", "completed", stdin="to all\n")
    assert done.returncode == 0, done.stderr
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["SLOT", "STAGE"]
    assert [row.split()[:2] for row in rows] == [[f"s{number}@test", "completed"] for number in range(3)]
    assert all("echo: to all" in daemon.lines(f"s{number}") for number in range(3))
    late = meshd_there("broadcast", "slow 30", "--label", "team:t0", "--until", "completed", "--timeout", "0.2")
    assert late.returncode == 124 and "2 of 2 not completed within 0.2 s; they go on" in late.stderr
    daemon.call("POST", "/stop/s0")
    partly = meshd_there("broadcast", "again", "--json")
    assert partly.returncode == 1
    assert [failure["code"] for failure in json.loads(partly.stdout)["failures"]] == ["slot_not_running"]
    assert meshd_there("broadcast", "nobody", "--kind", "claude").returncode == 1
