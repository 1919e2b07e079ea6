"""What a hook is given: facts about the node and the plugin's own typed configuration."""

from pathlib import Path
from typing import Any

from msgspec import Struct

from meshd_core.contracts.daemon import DaemonView
from meshd_core.contracts.secrets import ReadSecret, SecretRef
from meshd_core.errors import Draining
from meshd_core.types import When


class NoDaemon:
    """Stands for the daemon where none runs: in commands, and before it is up."""

    def __getattr__(self, name: str) -> Any:
        raise Draining("the daemon is not up")


NO_DAEMON: DaemonView = NoDaemon()


def no_secrets(ref: SecretRef) -> str:
    """Reads no secret: for contexts without a configuration."""
    raise ValueError("there is no configuration that secrets could be relative to")


class PluginContext(Struct, frozen=True):
    """The argument `ctx` of most hooks; made for each plugin by itself."""

    node: str
    plugin: str
    """The entry point's name."""
    config: Any
    """An instance of the type from `meshd_config_type`, or None if the plugin has none."""
    state_dir: Path
    """A folder of the plugin's own. Make it (0700) before writing to it."""
    read_secret: ReadSecret = no_secrets
    daemon: DaemonView = NO_DAEMON
    """The running daemon, for routes and whatever else works while it runs."""


class Denial(Struct, frozen=True):
    """An answer of `meshd_check_inject` that refuses a prompt: the caller gets 403 with `reason`."""

    reason: str


class InjectCheck(Struct, frozen=True):
    """The prompt that `meshd_check_inject` judges."""

    text: str
    submit: bool
    when: When
