"""The real `@supabase/lite` on embedded PGlite, with contrib/supabase applied and row security on.

Loopback only, without telemetry, without its keyless admin mode. Measured: 10 s for the migrations, 5 s to start.
"""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from meshd_supabase.credentials import Claims, mint

from meshd_core.testing.cli_cache import PinnedCli, cache_folder, installed_binary

PIN = PinnedCli(package="@supabase/lite", version="0.10.0", binary="lite")
SQL = Path(__file__).parents[3] / "contrib" / "supabase"
SECRET = "k3yboard-lantern-orchard-violet-98"
PUBLISHABLE, PROJECT_SECRET = "sb_publishable_" + "a" * 30, "sb_secret_" + "b" * 31
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 20.0

CONFIG = """
[api]
port = {port}

[db]
driver = "pglite"
url = "supabase/.temp/data"

[auth]
enabled = true
jwt_secret = "{secret}"
publishable_key = "{publishable}"
secret_key = "{project_secret}"
"""


class LiteServer:
    """A project in `folder`; a context manager that starts it and ends it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._log = folder, folder / "lite.log"
        self._lite = installed_binary("supabase-lite", PIN, cache_folder())
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self.apikey, self.secret = PUBLISHABLE, SECRET
        self.url = f"http://127.0.0.1:{self.port}"
        migrations = folder / "supabase" / "migrations"
        migrations.mkdir(parents=True)
        for script in SQL.glob("*.sql"):
            shutil.copy(script, migrations)
        config = CONFIG.format(
            port=self.port, secret=SECRET, publishable=PUBLISHABLE, project_secret=PROJECT_SECRET
        )  # fmt: skip
        (folder / "supabase" / "config.toml").write_text(config)

    def __enter__(self) -> "LiteServer":
        done = self._run("migration", "up")
        assert done.returncode == 0, done.stdout.decode()[-3000:]
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None, "the server was not started"
        return self._process.pid

    def start(self) -> None:
        """Start it on the data that are there, and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._lite, "start", "--no-admin"], cwd=self._folder, env=_environment(), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            assert self._process.poll() is None, self._log.read_text()[-3000:]
            assert time.monotonic() < deadline, self._log.read_text()[-3000:]
            time.sleep(0.1)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(timeout=STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(timeout=STOP_TIMEOUT_S)
            self._process = None

    def node_token(self, node: str, lifetime_s: int = 3600) -> str:
        return mint(Claims(node=node, lifetime_s=lifetime_s), SECRET)

    def viewer_token(self) -> str:
        return mint(Claims(viewer=True), SECRET)

    def call(
        self, method: str, path: str, token: str | None, body: Any = None, prefer: str = "", apikey: str = PUBLISHABLE
    ) -> tuple[int, Any]:
        """Status and decoded body."""
        headers = {"apikey": apikey, "Content-Type": "application/json", "Prefer": prefer}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.url}/rest/v1/{path}", method=method, headers=headers, data=data)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, _decoded(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decoded(error.read())

    def rows(self, path: str, token: str | None = None) -> list[dict[str, Any]]:
        """What a viewer sees, or whoever has `token`; all pages."""
        found: list[dict[str, Any]] = []
        sign = "&" if "?" in path else "?"
        while True:
            status, page = self.call("GET", f"{path}{sign}limit=1000&offset={len(found)}", token or self.viewer_token())
            assert status == 200, page
            found += page
            if len(page) < 1000:
                return found

    def sql(self, *statements: str) -> str:
        """The rows of the last of the statements, run as the database's owner.

        The server must be stopped: PGlite has one user at a time.
        """
        assert self._process is None, "stop the server first"
        script = self._folder / "statement.mjs"
        script.write_text(_STATEMENT % (json.dumps(str(self._folder / "supabase/.temp/data")), json.dumps(statements)))
        modules = self._lite.parents[1]
        link = self._folder / "node_modules"
        if not link.exists():
            link.symlink_to(modules)
        done = subprocess.run(
            ["node", script], cwd=self._folder, env=_environment(), capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        return done.stdout.decode().strip()

    def _answers(self) -> bool:
        try:
            status, _ = self.call("GET", "meshd_nodes?limit=1", None)
        except OSError:
            return False
        return status == 200

    def _run(self, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            [self._lite, *arguments], cwd=self._folder, env=_environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=180, check=False,
        )  # fmt: skip


_STATEMENT = """
import { PGlite } from "@electric-sql/pglite";
const db = await PGlite.create(%s);
let done;
for (const statement of %s) done = await db.query(statement);
console.log(JSON.stringify(done.rows));
await db.close();
"""


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body.decode("utf-8", "replace")


def _environment() -> dict[str, str]:
    return {**os.environ, "DO_NOT_TRACK": "1", "LITE_TELEMETRY": "0", "NO_COLOR": "1"}


def _free_port() -> int:
    """lite knows no port 0."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
