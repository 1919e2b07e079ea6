"""The `[[slots]]` of real agent CLIs, at home in a folder and talking to the fake model."""

from pathlib import Path

from packaging.version import Version

from meshd_core.testing.cli_cache import PinnedCli, cache_folder, installed_binary, read_pins
from meshd_core.testing.sandbox import claude_home, codex_home, gemini_home, opencode_home, pi_home

HOMES = {"claude": claude_home, "opencode": opencode_home, "codex": codex_home, "gemini": gemini_home}
PINS = read_pins(Path(__file__).parent / "versions.toml")
PI_SLOT = Path(__file__).parents[2] / "plugins/meshd-generic/examples/pi.toml"


def agent_slot(cli: str, pin: PinnedCli, folder: Path, backend_url: str, name: str | None = None) -> str:
    """A slot `name` (else the CLI's) whose agent has its home and its work below `folder`, which is made.

    The CLI is installed first if it isn't in the cache. Raises RuntimeError.
    """
    binary = installed_binary(cli, pin, cache_folder())
    home, cwd = folder / "home", folder / "work"
    cwd.mkdir(parents=True)
    if cli == "pi":
        return _pi_slot(name or cli, binary, cwd, pi_home(home, cwd, backend_url))
    manual = "manual" if Version(pin.version) >= Version("2.1.300") else "default"  # as claude calls it
    args = ["--permission-mode", manual] if cli == "claude" else []
    slot = (
        f'name = "{name or cli}"\nkind = "{cli}"\ncommand = ["{binary}"]\nargs = {args}\ncwd = "{cwd}"\nresume = true'
    )
    return "\n".join(["[[slots]]", slot, "[slots.env]", *_lines(HOMES[cli](home, cwd, backend_url)), ""])


def _pi_slot(name: str, binary: Path, cwd: Path, env: dict[str, str]) -> str:
    """The slot of the example, with the name, the program, the folder and the environment of this test."""
    env.pop("PI_OFFLINE")  # it is in the example
    text = PI_SLOT.read_text().replace('name = "pi"', f'name = "{name}"')
    text = text.replace('command = ["pi"]', f'command = ["{binary}"]')
    text = text.replace('cwd = "~/src"', f'cwd = "{cwd}"\nresume = true')
    return text.replace("[slots.env]", "\n".join(["[slots.env]", *_lines(env)])) + "\n"


def _lines(env: dict[str, str]) -> list[str]:
    return [f'{key} = "{value}"' for key, value in env.items()]
