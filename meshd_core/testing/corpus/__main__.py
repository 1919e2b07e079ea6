"""`python -m meshd_core.testing.corpus`: record agents, replay recordings, report on all of them."""

import sys
from collections.abc import Callable

from meshd_core.testing.corpus import record_command, replay_command

COMMANDS: dict[str, tuple[Callable[[list[str]], int], str]] = {
    "record": (record_command.main, "record agents into a corpus"),
    "replay": (replay_command.replay_main, "replay recordings: what was seen when, and how right it was"),
    "report": (replay_command.report_main, "score all recordings of a corpus, as a page or as JSON"),
}


def main(arguments: list[str]) -> int:
    """Run one subcommand; the exit status."""
    name = arguments[0] if arguments else ""
    if name in COMMANDS:
        return COMMANDS[name][0](arguments[1:])
    usage = [f"usage: {record_command.PROGRAM} COMMAND [--help]", ""]
    usage += [f"  {command:8} {what}" for command, (_, what) in COMMANDS.items()]
    asked = name in ("-h", "--help")
    (sys.stdout if asked else sys.stderr).write("\n".join(usage) + "\n")
    return 0 if asked else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
