"""Run within an environment of the matrix: a real daemon, one prompt, and what `GET /plugins` and the commands say."""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from meshd_core.testing.daemon import DaemonProcess
from meshd_core.types import PluginList


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="m-"))
    try:
        with DaemonProcess(folder, '[[slots]]\nname = "demo"\nkind = "demo"\n') as daemon:
            daemon.wait_for("demo", "idle")
            assert daemon.inject("demo", "hello").reply == "echo: hello"
            listed = daemon.get("/plugins", PluginList).plugins
            metrics = daemon.exchange("GET", "/metrics")[0] == 200
            help_text = subprocess.run(
                [sys.executable, "-m", "meshd_core.cli", "--help"], capture_output=True, text=True, check=True
            ).stdout
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    commands = sorted(line.split()[0] for line in help_text.partition("Commands:")[2].splitlines() if line.strip())
    found: dict[str, object] = {
        one.name: {"provides": one.provides, "hooks": one.hooks, "error": one.error, "distribution": one.distribution}
        for one in listed
    }
    found[""] = {"metrics": metrics, "commands": commands}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
