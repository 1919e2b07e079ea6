"""An attached terminal while its slot changes: raw bytes end where a filter or the slot's end begins."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from meshd_core.testing.daemon import DaemonProcess
from tests.daemon.attached import attached
from tests.daemon.test_filters import PLUGIN
from tests.daemon.test_reload import names, slot


def with_filters(short_tmp: Path) -> DaemonProcess:
    info = short_tmp / "site" / "swapper-1.0.dist-info"
    info.mkdir(parents=True)
    (short_tmp / "site" / "swapper.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: swapper\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[meshd_core.v1]\nswapper = swapper\n")
    return DaemonProcess(short_tmp, slot(), {"PYTHONPATH": str(short_tmp / "site")})


def test_no_raw_byte_goes_out_once_a_reload_has_set_a_filter(short_tmp: Path) -> None:
    with with_filters(short_tmp) as daemon:
        daemon.wait_for("demo", "idle")
        with attached(daemon) as terminal:
            terminal.until(lambda: terminal.shows("demo>"))
            daemon.configure(slot(filters='["first"]'))
            daemon.reload()
            daemon.inject("demo", "tell the secret-word")
            terminal.until(lambda: terminal.closed is not None)
            assert terminal.closed.rcvd.code == 1008
            assert not terminal.shows("secret-word")


def test_an_attached_terminal_is_let_go_of_with_its_slot(make_daemon: Any, eventually: Callable[..., None]) -> None:
    daemon = make_daemon(slot() + slot("more"))
    daemon.wait_for("demo", "idle")
    with attached(daemon) as terminal:
        terminal.until(lambda: terminal.shows("demo>"))
        daemon.configure(slot("more"))
        daemon.reload(stop_removed=True)
        terminal.until(lambda: terminal.closed is not None)
    assert names(daemon) == ["more"]
    assert "Traceback" not in daemon.log.read_text() and '"exception"' not in daemon.log.read_text()
    daemon.configure(slot("more") + slot())
    daemon.reload()
    daemon.wait_for("demo", "idle")
    with attached(daemon) as terminal:
        terminal.until(lambda: terminal.shows("demo>"))
