"""What a hook is given: facts about the node and the plugin's own typed configuration."""

from pathlib import Path
from typing import Any

from msgspec import Struct

from meshd_core.types import When


class PluginContext(Struct, frozen=True):
    """The argument `ctx` of most hooks; made for each plugin by itself."""

    node: str
    plugin: str
    """The entry point's name."""
    config: Any
    """An instance of the type from `meshd_config_type`, or None if the plugin has none."""
    state_dir: Path
    """A folder of the plugin's own (0700); made when first written to."""


class Denial(Struct, frozen=True):
    """An answer of `meshd_check_inject` that refuses a prompt: the caller gets 403 with `reason`."""

    reason: str


class InjectCheck(Struct, frozen=True):
    """The prompt that `meshd_check_inject` judges."""

    text: str
    submit: bool
    when: When
