"""The commands of the mesh, as a person meets them: two daemons that learn of each other, and a login."""

import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from meshd_core.cli.logins import Login, Logins, logged_in
from meshd_core.client import BadAnswer, Unreachable
from meshd_core.config.addresses import may_be_private
from meshd_core.errors import NotProxied
from meshd_core.testing.daemon import DaemonProcess
from meshd_core.types import SlotDetail
from tests.client.scripted_server import ScriptedServer
from tests.mesh.network import own_address

pytestmark = pytest.mark.timeout(180)
Done = subprocess.CompletedProcess[str]
CONFIG = """# mac1, by hand

[[slots]]   # the one
name = "one"
kind = "demo"
"""


ADD = ("peer", "add", "mac9", "http://127.0.0.1:1", "--token-stdin", "--no-probe")


class Two:
    """mac1, whose commands are run, and mac2, which it does not know yet."""

    def __init__(self, folder: Path, near: DaemonProcess, far: DaemonProcess) -> None:
        self.folder, self.near, self.far = folder, near, far
        self.config = near.config

    def meshd(self, *words: str, stdin: str | None = None, at: DaemonProcess | None = None) -> Done:
        return subprocess.run(
            [sys.executable, "-m", "meshd_core.cli", *words], env=self.environment(at or self.near), text=True,
            capture_output=True, timeout=60, input=stdin, stdin=subprocess.DEVNULL if stdin is None else None,
        )  # fmt: skip

    def environment(self, daemon: DaemonProcess) -> dict[str, str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("MESHD_")}
        places = {
            "MESHD_RUNTIME_DIR": str(daemon.runtime), "MESHD_CONFIG": str(daemon.config),
            "MESHD_STATE_DIR": str(daemon.state), "HOME": str(self.folder),
        }  # fmt: skip
        return {**clean, **places}

    def token(self, scope: str, *more: str) -> str:
        made = self.meshd("token", "create", "--scope", scope, *more, at=self.far)
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()


@pytest.fixture(scope="module")
def two() -> Iterator[Two]:
    with tempfile.TemporaryDirectory(prefix="m-") as name:
        root = Path(name)
        (root / "one").mkdir()
        (root / "two").mkdir()
        slot = '[[slots]]\nname = "two"\nkind = "demo"\n'
        far = DaemonProcess(root / "two", slot, name="mac2")
        far.configure(slot, "port = 0\nmesh_port = 0")
        with DaemonProcess(root / "one", CONFIG, name="mac1") as near, far:
            yield Two(root, near, far)


def test_a_node_is_added_once_it_answers_rightly(two: Two) -> None:
    token = two.token("inject", "--label", "peer:mac1")
    before = two.config.read_text()
    wrong = two.meshd("peer", "add", "mac3", two.far.url, "--token-stdin", stdin=token)
    assert wrong.returncode == 1 and "'mac2'" in wrong.stderr and "under the name that it gives itself" in wrong.stderr
    refused = two.meshd("peer", "add", "mac2", two.far.url, "--token-stdin", stdin="meshd_aaaaaaaa_" + "x" * 43)
    assert refused.returncode == 1 and "meshd token create --scope inject --label peer:mac1" in refused.stderr
    away = two.meshd("peer", "add", "mac2", "http://127.0.0.1:1", "--token-stdin", stdin=token)
    assert away.returncode == 1 and "is it up" in away.stderr
    public = two.meshd("peer", "add", "mac2", "http://192.0.2.7:9451", "--token-stdin", "--no-probe", stdin=token)
    assert public.returncode == 2 and "URL: plain http" in public.stderr and "--insecure" in public.stderr
    assert "insecure = true" not in public.stderr and "meshd.toml" not in public.stderr  # it isn't written there
    own = two.meshd("peer", "add", "mac1", two.far.url, "--token-stdin", "--no-probe", stdin=token)
    assert own.returncode == 2 and "NAME: is this node's own name" in own.stderr
    assert two.meshd("peer", "add", "Mac 2", two.far.url, "--token-stdin", stdin=token).returncode == 2
    assert two.meshd("peer", "add", "mac2", two.far.url).returncode == 2  # nobody can be asked for the token
    dry = two.meshd("peer", "add", "mac2", two.far.url, "--token-stdin", "--dry-run", stdin=token)
    assert dry.returncode == 0 and dry.stdout.startswith("[[nodes]]\n")
    assert two.config.read_text() == before and not (two.config.parent / "mac2.token").exists()

    added = two.meshd("peer", "add", "mac2", two.far.url, "--token-stdin", stdin=token + "\n")
    assert added.returncode == 0, added.stderr
    after = two.config.read_text()
    assert after.startswith(before) and after.count("[[nodes]]") == 1
    kept = two.config.parent / "mac2.token"
    assert kept.read_text().strip() == token and stat.S_IMODE(kept.stat().st_mode) == 0o600
    for done in (wrong, refused, public, dry, added):
        assert token not in done.stdout + done.stderr
    again = two.meshd("peer", "add", "mac2", two.far.url, "--token-stdin", "--json", stdin=token)
    assert again.returncode == 1 and "already" in json.loads(again.stderr)["error"]["message"]
    assert two.meshd("reload").returncode == 0


def test_the_nodes_are_listed_and_looked_at(two: Two) -> None:
    listed = json.loads(two.meshd("nodes", "--json").stdout)["nodes"]
    assert [node["node"] for node in listed] == ["mac1", "mac2"]
    assert two.far.url in two.meshd("nodes").stdout
    looked = two.meshd("nodes", "check", "--json")
    assert looked.returncode == 0, looked.stdout + looked.stderr
    (mac2,) = json.loads(looked.stdout)["nodes"]
    assert (mac2["ok"], mac2["scope"], mac2["error"], mac2["remarks"]) == (True, "inject", None, [])
    assert abs(mac2["skew_s"]) < 5 and mac2["version"]
    assert "inject" in two.meshd("nodes", "check", "mac2").stdout
    assert two.meshd("nodes", "check", "nope").returncode == 2


@pytest.mark.parametrize(("scope", "ok"), [("read", False), ("approve", True), ("control", True), ("admin", True)])
def test_looking_tells_the_scope_of_a_token_and_changes_nothing(two: Two, scope: str, ok: bool) -> None:
    kept = two.config.parent / "mac2.token"
    good = kept.read_text()
    try:
        kept.write_text(two.token(scope))
        looked = two.meshd("nodes", "check", "--json")
        (mac2,) = json.loads(looked.stdout)["nodes"]
        assert (mac2["scope"], mac2["ok"], looked.returncode) == (scope, ok, 0 if ok else 1)
        assert bool(mac2["remarks"]) == (scope != "approve")
    finally:
        kept.write_text(good)


def test_slots_of_all_nodes_are_listed(two: Two) -> None:
    found = two.meshd("ls", "--mesh")
    assert "one@mac1" in found.stdout and "two@mac2" in found.stdout, found
    assert json.loads(two.meshd("ls", "--mesh", "--kind", "none", "--json").stdout)["slots"] == []
    assert "two@mac2" not in two.meshd("ls").stdout


def test_commands_take_an_address(two: Two) -> None:
    assert two.meshd("wait", "two@mac2").stdout == "idle\n"
    assert "two@mac2" in two.meshd("show", "two@mac2").stdout
    assert "demo" in two.meshd("screen", "two@mac2").stdout
    assert "demo agent ready" in two.meshd("tail", "two@mac2", "--no-follow").stdout
    receipt = two.far.inject("two", "hello")
    assert "echo: hello" in two.meshd("receipt", receipt.id).stdout


def test_a_login_does_what_the_daemon_does_not_pass_on(two: Two) -> None:
    refused = two.meshd("stop", "two@mac2")
    assert refused.returncode == 1 and "meshd login mac2" in refused.stderr
    wrong = two.meshd("login", "mac2", "--token-stdin", stdin="meshd_aaaaaaaa_" + "x" * 43)
    assert wrong.returncode == 1 and "meshd token create --scope control" in wrong.stderr
    away = two.meshd("login", "mac2", "--at", "http://127.0.0.1:1", "--token-stdin", stdin="meshd_x")
    assert away.returncode == 69 and "--at" in away.stderr and "serve" not in away.stderr
    for_nodes = (two.far.state / "mesh_address").read_text().split()[0]
    port = two.meshd("login", "mac2", "--at", for_nodes, "--token-stdin", stdin=two.token("control"))
    assert port.returncode == 1 and "a port for nodes alone" in port.stderr
    small = two.meshd("login", "mac2", "--token-stdin", stdin=two.token("inject"))
    assert small.returncode == 0 and "the scope inject" in small.stderr
    assert two.meshd("login", "mac2").returncode == 2  # nobody can be asked
    assert two.meshd("login", "mac9", "--token-stdin", stdin="meshd_x").returncode == 1
    other = two.meshd("login", "mac2", "--at", two.near.url, "--token-stdin", stdin=two.near.token)
    assert other.returncode == 1 and "'mac1'" in other.stderr
    token = two.token("control")
    done = two.meshd("login", "mac2", "--token-stdin", "--json", stdin=token)
    assert done.returncode == 0 and token not in done.stdout + done.stderr
    assert "warning" not in two.meshd("login", "mac2", "--token-stdin", stdin=token).stderr
    file = Path(json.loads(done.stdout)["file"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert two.meshd("stop", "two@mac2").returncode == 0
    assert two.far.get("/slots/two", SlotDetail).status == "stopped"
    assert two.meshd("start", "two@mac2").returncode == 0
    attach = [sys.executable, "-m", "meshd_core.cli", "attach", "two@mac2"]
    with pexpect.spawn(attach[0], attach[1:], env=two.environment(two.near), timeout=30, encoding="utf-8") as terminal:
        terminal.expect_exact("demo agent ready")
        terminal.send("typed\r")
        terminal.expect_exact("echo: typed")
    assert two.meshd("login", "mac2", "--remove").stdout.startswith("forgot")
    assert two.meshd("stop", "two@mac2").returncode == 1


def test_a_token_is_never_sent_to_where_an_answer_points(two: Two) -> None:
    """The daemon that is asked may lie about a node's URL: only the one of the login is used."""
    assert two.meshd("login", "mac2", "--token-stdin", stdin=two.token("control")).returncode == 0
    login = two.config.parent / "logins" / "mac2.json"
    kept = json.loads(login.read_text())
    login.write_text(json.dumps({**kept, "url": "http://127.0.0.1:1"}))
    away = two.meshd("stop", "two@mac2")
    assert away.returncode == 69 and "127.0.0.1:1" in away.stderr
    login.write_text("nonsense")
    assert "meshd login mac2" in two.meshd("stop", "two@mac2").stderr


def test_a_token_is_not_sent_where_it_could_be_read(two: Two) -> None:
    refused = two.meshd("login", "mac7", "--at", "http://192.0.2.1:9451", "--token-stdin", stdin=two.token("control"))
    assert refused.returncode == 2 and "--insecure" in refused.stderr
    assert not (two.config.parent / "logins" / "mac7.json").exists()


@pytest.mark.parametrize("insecure", [False, True])
def test_a_token_goes_nowhere_else_whatever_a_name_leads_to(insecure: bool) -> None:
    address = own_address()
    if address is None or may_be_private(address):
        pytest.skip("this machine has no address that is neither loopback nor a tailnet's")
    server = ScriptedServer(socket.create_server(("0.0.0.0", 0))).start()
    server.handle = lambda request, reply: reply.json({})
    try:
        login = Login(f"http://{address}:{server.url.rpartition(':')[2]}", "meshd_x", insecure)
        with login.client() as client, client.another() as other:
            for asking in (client, other):
                with pytest.raises((Unreachable, BadAnswer)) as caught:
                    asking.node()
                assert ("not allowed" in str(caught.value)) is not insecure
            with pytest.raises((Unreachable, BadAnswer)):
                client.attach("demo")
        assert len(server.requests) == (3 if insecure else 0)
    finally:
        server.close()


@pytest.mark.parametrize(
    ("target", "followed"), [("/stop/two@mac2", True), ("/stop/two%40mac2?x=@mac9", True), ("/stop/two", False),
                             ("/stop/two@mac9?x=@mac2", False), ("/shutdown", False)],
)  # fmt: skip
def test_a_daemon_cannot_send_a_login_to_a_node_that_was_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, followed: bool
) -> None:
    monkeypatch.setattr(Logins, "of_this_user", lambda: Logins(tmp_path))
    Logins(tmp_path).keep("mac2", Login(url="http://127.0.0.1:1", token="meshd_x"))
    error = NotProxied("ask it yourself", node="mac2")
    assert (logged_in(error, target) is not None) == followed


def test_a_table_that_is_written_otherwise_is_left_alone(two: Two, tmp_path: Path) -> None:
    file = tmp_path / "meshd.toml"
    written = (
        ("nodes = []\n", 1, "[[nodes]]"),
        ("[node\n", 78, "meshd.toml:1"),
        ('\n[node]\nnmae = "x"\n', 78, "meshd.toml:3"),
    )
    for text, code, said in written:
        file.write_text(text)
        done = two.meshd(*ADD, "--config", str(file), stdin="t")
        assert done.returncode == code and said in done.stderr, (text, done)
        assert file.read_text() == text and list(tmp_path.iterdir()) == [file]
    file.write_text('[node]\nname = "x"')  # no newline at the end
    done = two.meshd(*ADD, "--config", str(file), stdin="t")
    assert done.returncode == 0, done.stderr
    assert file.read_text().startswith('[node]\nname = "x"\n\n[[nodes]]\n')
    file.write_bytes(b'[node]\r\nname = "x"\r\n')
    assert two.meshd(*ADD, "--config", str(file), stdin="t").returncode == 0
    assert file.read_bytes().startswith(b'[node]\r\nname = "x"\r\n\n[[nodes]]\n')  # the rest stays as it is
