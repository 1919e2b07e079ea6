"""Benches are run by hand: what they use of core may not go away unnoticed meanwhile."""

import subprocess
import sys


def test_every_bench_can_be_loaded() -> None:
    done = subprocess.run([sys.executable, "-m", "tests.bench", "--help"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "--agents" in done.stdout
