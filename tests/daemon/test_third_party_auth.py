"""The auth provider of docs/plugins.md, installed as a distribution of somebody else's, in a real daemon."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshd_core.testing.daemon import DaemonProcess
from meshd_core.types import PluginList
from tests.docs.markdown import ROOT, Page

SLOTS = """
[[slots]]
name = "demo"
kind = "demo"

[[slots]]
name = "other"
kind = "demo"

[auth]
providers = ["basic", "token"]

[plugins.basic.users.ann]
password = { file = "ann.password" }
scope = "inject"
slots = ["demo"]
"""


@pytest.fixture
def site(short_tmp: Path) -> Path:
    """A folder with the distribution, as pip would leave it."""
    path = ROOT / "docs" / "plugins.md"
    source = Page(path, path.read_text()).code("python", "An auth provider")[0]
    assert len(source.splitlines()) <= 60
    info = short_tmp / "site" / "meshd_basic-1.0.dist-info"
    info.mkdir(parents=True)
    (short_tmp / "site" / "meshd_basic.py").write_text(source)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: meshd-basic\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[meshd_core.v1]\nbasic = meshd_basic\n")
    (short_tmp / "ann.password").write_text("correct horse\n")
    (short_tmp / "ann.password").chmod(0o600)
    return short_tmp / "site"


@pytest.fixture
def daemon(short_tmp: Path, site: Path) -> Iterator[DaemonProcess]:
    with DaemonProcess(short_tmp, SLOTS, {"PYTHONPATH": str(site)}) as daemon:
        yield daemon


def basic(daemon: DaemonProcess, user: str, method: str, path: str, body: object = None) -> int:
    header = {"Authorization": "Basic " + base64.b64encode(user.encode()).decode()}
    return daemon.exchange(method, path, body, headers=header)[0]


def test_its_users_get_in_with_their_scope_and_their_slots(daemon: DaemonProcess) -> None:
    ann = "ann:correct horse"
    assert basic(daemon, ann, "GET", "/slots/demo") == 200
    assert basic(daemon, ann, "POST", "/inject/demo", {"text": "hello", "until": "accepted"}) == 200
    assert basic(daemon, ann, "POST", "/stop/demo") == 403
    assert basic(daemon, ann, "GET", "/slots/other") in (403, 404)
    assert b'"basic:ann"' in b"".join(path.read_bytes() for path in daemon.state.glob("*.jsonl"))
    assert daemon.get("/plugins", PluginList).plugins
    (basic_info,) = [one for one in daemon.get("/plugins", PluginList).plugins if one.name == "basic"]
    assert (basic_info.distribution, basic_info.provides) == ("meshd-basic", ["auth:basic"])


@pytest.mark.parametrize("user", ["ann:wrong", "ann:", "bob:correct horse", ":", "", "ann", "ann:correct horse\n"])
def test_everybody_else_is_refused(daemon: DaemonProcess, user: str) -> None:
    assert basic(daemon, user, "GET", "/slots") == 401


def test_a_password_that_can_not_be_read_denies(daemon: DaemonProcess, short_tmp: Path) -> None:
    (short_tmp / "ann.password").unlink()
    assert basic(daemon, "ann:correct horse", "GET", "/slots") == 401
    assert daemon.exchange("GET", "/slots")[0] == 200, "the token provider goes on"
    assert "correct horse" not in daemon.log.read_text()


def test_it_can_refuse_listeners_that_others_reach(short_tmp: Path, site: Path) -> None:
    daemon = DaemonProcess(short_tmp, SLOTS, {"PYTHONPATH": str(site)})
    daemon.config.write_text(daemon.config.read_text().replace("127.0.0.1", "0.0.0.0"))
    assert daemon.spawn().wait(timeout=30) == 78
    assert "passwords in the clear" in daemon.log.read_text()
    daemon._process = None
