"""The daemon's log on stderr: lines for people at a terminal, JSON for everything else.

Messages are constant and facts are in `extra`; text from terminals and tokens are never logged.
"""

import json
import logging
import sys

from meshd_core.clock import rfc3339

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        body: dict[str, object] = {
            "t": rfc3339(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_facts(record),
        }
        if record.exc_info:
            body["exception"] = self.formatException(record.exc_info)
        return json.dumps(body, default=str)


class _PlainFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = "".join(f" {key}={value}" for key, value in _facts(record).items())
        text = f"{record.levelname.lower()}: {record.getMessage()}{facts}"
        # A fact may come from outside: no line of the log may be forged with it, no terminal be driven.
        text = text.translate({code: f"\\x{code:02x}" for code in (*range(32), 127, *range(128, 160))})
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


def _facts(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in record.__dict__.items() if key not in _STANDARD}


def set_up_logging() -> None:
    """Send the log of meshd and its libraries to stderr; called once, by `serve`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_PlainFormatter() if sys.stderr.isatty() else _JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("meshd_core").setLevel(logging.INFO)
