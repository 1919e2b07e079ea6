"""200 reloads while lines stream and prompts are typed: nothing is lost, and a bad file changes nothing."""

import json
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from meshd_core.testing.daemon import DaemonProcess, HttpFailure
from meshd_core.types import ErrorAnswer, Receipt, SlotList

pytestmark = pytest.mark.timeout(400)

RELOADS = 200
LINES = 60_000
PLUGIN = """
from meshd_core.api import FilterStream, OutputFilter, hookimpl

class Pairs(FilterStream):
    # Holds each line back until the next one comes: what a filter that looks across lines does.
    def __init__(self):
        self.held = []
    def feed(self, line):
        out, self.held = self.held, [line]
        return out
    def pending(self):
        return bool(self.held)
    def flush(self):
        out, self.held = self.held, []
        return out

class Holding(OutputFilter):
    def __init__(self, name):
        self.name = name
    def open(self, slot):
        return Pairs()

@hookimpl
def meshd_output_filters(ctx):
    return [Holding("one"), Holding("two")]
"""
BAD = [
    "this is not toml",
    '[[slots]]\nname = "a"\nkind = "demo"\nlables = {}\n',
    '[[slots]]\nname = "a"\nkind = "no-such-kind"\n\n[[slots]]\nname = "a"\nkind = "demo"\nfilters = ["nobody"]\n',
]


def install(site: Path) -> None:
    info = site / "holding-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "holding.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: holding\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[meshd_core.v1]\nholding = holding\n")


class Prompts(threading.Thread):
    """Injects numbered prompts one after the other until told to stop; keeps their receipts."""

    def __init__(self, daemon: DaemonProcess, slot: str) -> None:
        super().__init__(daemon=True)
        self._daemon, self._slot = daemon, slot
        self.receipts: list[Receipt] = []
        self.failure: Exception | None = None
        self.over = threading.Event()
        self.start()

    def run(self) -> None:
        try:
            while not self.over.is_set():
                self.receipts.append(self._daemon.inject(self._slot, f"prompt {len(self.receipts)}"))
        except Exception as error:
            self.failure = error


def test_two_hundred_reloads_lose_nothing(short_tmp: Path, stream: Any, eventually: Callable[..., None]) -> None:
    install(short_tmp / "site")
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    log = short_tmp / "demo.jsonl"

    def slots(number: int, extra: int) -> str:
        filters = json.dumps(chance.sample(["one", "two"], chance.randrange(3)))
        lines = f'[[slots]]\nname = "lines"\nkind = "demo"\nlabels = {{ n = "{number}" }}\nfilters = {filters}\n\n'
        typed = f'[[slots]]\nname = "typed"\nkind = "demo"\nlabels = {{ n = "{number}" }}\nrestart = "always"\n'
        typed += f'env = {{ MESHD_DEMO_LOG = "{log}" }}\n\n'
        more = "".join(f'[[slots]]\nname = "more-{one}"\nkind = "demo"\nautostart = false\n\n' for one in range(extra))
        return typed + lines + more if number % 2 else lines + more + typed

    daemon = DaemonProcess(short_tmp, slots(0, 0), {"PYTHONPATH": str(short_tmp / "site")})
    with daemon:
        pids = {name: daemon.wait_for(name, "idle").pid for name in ("lines", "typed")}
        readers = [stream(daemon, "lines") for _ in range(4)]
        daemon.inject("lines", f"lines {LINES} 1000", until="submitted")
        prompts = Prompts(daemon, "typed")
        took, extra = [], 0
        for number in range(1, RELOADS + 1):
            if number % 10 == 5:
                good = daemon.config.read_text()
                daemon.config.write_text(chance.choice(BAD))
                with pytest.raises(HttpFailure) as failure:
                    daemon.reload()
                assert (failure.value.status, failure.value.code) == (422, "config_invalid")
                assert msgspec.json.decode(failure.value.body, type=ErrorAnswer).error.details["problems"]
                daemon.config.write_text(good)
                assert not daemon.reload().slots, "the bad file changed something"
                continue
            extra = chance.randrange(4)
            daemon.configure(slots(number, extra))
            began = time.monotonic()
            report = daemon.reload()
            took.append(time.monotonic() - began)
            assert not report.needs_restart and not report.warnings
        found = msgspec.json.decode(daemon.call("GET", "/slots"), type=SlotList).slots
        assert {slot.name for slot in found} == {"lines", "typed", *(f"more-{one}" for one in range(extra))}
        assert {slot.name: slot.pid for slot in found if slot.pid} == pids
        assert all(slot.config == "live" and slot.labels.get("n", str(RELOADS)) == str(RELOADS) for slot in found)
        prompts.over.set()
        prompts.join(60)
        assert prompts.failure is None, prompts.failure
        daemon.wait_for("lines", "idle", 120)
        daemon.configure('[[slots]]\nname = "lines"\nkind = "demo"\n')
        daemon.reload(stop_removed=True)  # without filters nothing is held back any more
        wanted = [f"line {number}" for number in range(1, LINES + 1)]
        for reader in readers:
            eventually(lambda reader=reader: reader.texts().count(wanted[-1]) == 1, 60, f"seed {seed}")
            assert [text for text in reader.texts() if text.startswith("line ")] == wanted, f"seed {seed}"
            assert not reader.of("gap")
    typed = [json.loads(line)["text"] for line in log.read_text().splitlines()]
    assert typed == [f"prompt {number}" for number in range(len(prompts.receipts))]
    assert [receipt.reply for receipt in prompts.receipts] == [f"echo: {text}" for text in typed]
    took.sort()
    print(f"{len(took)} reloads: median {took[len(took) // 2]:.3f} s, worst {took[-1]:.3f} s; {len(typed)} prompts")
