"""A LocalAPI on a Unix socket that answers `whois` as tailscaled does.

Source of statuses and fields: ipn/localapi/localapi.go of tailscale.com (serveWhoIs), and answers seen.
"""

import http.server
import json
import os
import socketserver
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


def device(
    number: int, *, login: str = "alice@example.com", tags: list[str] | None = None, sharer: int = 0,
    caps: dict[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """A device's `whois` answer, with the fields that a real one has."""
    address = f"100.64.0.{number}"
    node: dict[str, Any] = {
        "ID": 1000 + number, "StableID": f"n{number}CNTRL", "Name": f"box{number}.tail0000.ts.net.",
        "User": number, "Key": "nodekey:" + "0" * 64, "KeyExpiry": "2027-01-01T00:00:00Z",
        "Machine": "mkey:" + "0" * 64, "DiscoKey": "discokey:" + "0" * 64, "Addresses": [f"{address}/32"],
        "AllowedIPs": [f"{address}/32"], "Endpoints": [], "Hostinfo": {"OS": "linux", "Hostname": f"box{number}"},
        "Created": "2026-01-01T00:00:00Z", "Online": True, "ComputedName": f"box{number}",
        "ComputedNameWithHost": f"box{number}",
    }  # fmt: skip
    if tags:
        node["Tags"] = tags
    if sharer:
        node["Sharer"] = sharer
    name = "tagged-devices" if tags else login
    profile = {"ID": number, "LoginName": name, "DisplayName": name, "ProfilePicURL": ""}
    return {"Node": node, "UserProfile": profile, "CapMap": caps}


class LocalApi(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """`devices` by address; `misbehave` replaces the answer: it gets the handler and writes what it likes."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, path: Path) -> None:
        self.devices: dict[str, dict[str, Any]] = {}
        self.misbehave: Callable[[http.server.BaseHTTPRequestHandler], None] | None = None
        self.asked: list[str] = []
        super().__init__(str(path), Handler)
        os.chmod(path, 0o666)
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        Path(str(self.server_address)).unlink(missing_ok=True)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LocalApi

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if self.headers["Host"] != "local-tailscaled.sock":
            return self.answer(403, b"invalid localapi request\n")
        if parts.path != "/localapi/v0/whois":
            return self.answer(404, b"404 page not found\n")
        address = query.get("addr", "")
        self.server.asked.append(address)
        if self.server.misbehave is not None:
            return self.server.misbehave(self)
        if not address:
            return self.answer(400, b"missing 'addr' parameter\n")
        host = address.rpartition(":")[0].strip("[]")
        found = self.server.devices.get(address) or self.server.devices.get(host)
        if found is None:
            return self.answer(404, b"no match for IP:port\n")
        return self.answer(200, json.dumps(found, indent="\t").encode() + b"\n", "application/json")

    def answer(self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: Any) -> None:
        pass


def says(status: int, body: bytes) -> Callable[[Any], None]:
    return lambda handler: handler.answer(status, body)


def sleeps(seconds: float) -> Callable[[Any], None]:
    def slow(handler: Any) -> None:
        time.sleep(seconds)
        handler.answer(404, b"")

    return slow
