"""A person's own tokens for other nodes, one file each (0600), and the client that uses them.

What a node does only for who asks it itself, it is asked for itself: at the URL that the person logged in to, never at
one that an answer names, and with that person's token, never with a node's.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

import msgspec
from msgspec import Struct

from meshd_core.client import MeshdClient
from meshd_core.client.call import Call, path
from meshd_core.errors import MeshdError, NotProxied
from meshd_core.types import AttachMode, Size

if TYPE_CHECKING:
    from meshd_core.client.attach import Attachment

T = TypeVar("T")
FOLDER = "logins"


class Login(Struct, frozen=True, forbid_unknown_fields=True):
    url: str
    token: str
    insecure: bool = False
    """Whether the token may be sent over plain http to any address."""

    def client(self) -> MeshdClient:
        """A client that sends the token nowhere else, whatever the name in the URL leads to. Raises ValueError for a
        URL or a token that can't be one.
        """
        from meshd_core.config.addresses import is_private

        guarded = urlsplit(self.url).scheme == "http" and not self.insecure
        return MeshdClient(url=self.url, token=self.token, may_connect=is_private if guarded else None)


class Logins:
    """The logins in the folder of the configuration file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def of_this_user(cls) -> "Logins":
        from meshd_core.config.places import Places

        return cls(Places.find().config_file.parent / FOLDER)

    def find(self, node: str) -> Login | None:
        """Raises MeshdError if there is one that can't be read."""
        path = self._path(node)
        try:
            return msgspec.json.decode(path.read_bytes(), type=Login)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise MeshdError(f"the login in {path} can't be read", hint=f"meshd login {node}") from error

    def keep(self, node: str, login: Login) -> Path:
        """Raises OSError."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(node)
        temporary = path.with_suffix(".new")
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(msgspec.json.encode(login) + b"\n")
        temporary.replace(path)
        return path

    def forget(self, node: str) -> bool:
        """Whether there was one."""
        try:
            self._path(node).unlink()
        except FileNotFoundError:
            return False
        return True

    def _path(self, node: str) -> Path:
        from meshd_core.config.decode import is_name

        if not is_name(node):
            raise MeshdError(f"{node[:80]!r} is not the name of a node")
        return self._folder / f"{node}.json"


def logged_in(error: NotProxied, target: str) -> MeshdClient | None:
    """A client of the node that does what was asked for only itself; None: there is no login for it, or `target` does
    not name that node: a daemon must not send a person's token wherever it likes.
    """
    node = error.details.get("node")
    named = isinstance(node, str) and any(
        part.endswith(f"@{node}") for part in unquote(urlsplit(target).path).split("/")
    )
    login = Logins.of_this_user().find(node) if isinstance(node, str) and named else None
    return None if login is None else login.client()


class DirectClient(MeshdClient):
    """Asks the daemon; what that doesn't pass on to a slot's node, it asks that node itself, if there is a login."""

    def execute(self, call: Call[T]) -> T:
        """Carry out a call."""
        try:
            return super().execute(call)
        except NotProxied as error:
            direct = logged_in(error, call.target)
            if direct is None:
                raise
        with direct:
            return direct.execute(call)

    def attach(self, name: str, *, mode: AttachMode = "control", size: Size | None = None) -> "Attachment":
        try:
            return super().attach(name, mode=mode, size=size)
        except NotProxied as error:
            direct = logged_in(error, path("attach", name))
            if direct is None:
                raise
        with direct:
            return direct.attach(name, mode=mode, size=size)
