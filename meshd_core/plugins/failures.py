"""What plugins do wrong, in words; and the one error that a plugin's failure can stop the daemon with."""

import logging
from collections.abc import Callable

from meshd_core.exit_codes import ExitCode, StartupError

log = logging.getLogger(__name__)

PLUGIN_ERRORS = (Exception, SystemExit)
"""What is caught where a plugin is called. A plugin must not end the daemon by `sys.exit` either."""

MAX_ERROR = 400


class PluginRequiredError(StartupError):
    """A plugin that must work does not: one of `node.required_plugins`, or a configured auth provider's."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.PLUGIN)


class BadPlugin(Exception):
    """A plugin breaks a rule of the API. The message says which and how to keep it."""


def describe(error: BaseException, hide: Callable[[str], str] = str) -> str:
    """One line for people: type and message, without traceback and control characters, at most 400 characters.

    `hide` takes out of the message what must not be shown.
    """
    try:
        text = hide(str(error))
    except PLUGIN_ERRORS:
        text = "(its message can't be shown)"
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if isinstance(error, BadPlugin):
        return text[:MAX_ERROR]
    name = type(error).__name__
    return f"{name}: {text}"[:MAX_ERROR] if text else name
