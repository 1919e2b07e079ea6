"""The agent CLIs that are recorded: pinned versions, installed kinds, homes and scripts brought together."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from meshd_core.config.load import read_config
from meshd_core.contracts.kinds import AgentKind
from meshd_core.plugins.host import PluginHost
from meshd_core.testing import sandbox
from meshd_core.testing.cli_cache import PinnedCli, installed_binary
from meshd_core.testing.corpus.driver import MakeHome, Subject
from meshd_core.testing.corpus.scripts import SCRIPTS

HOMES: dict[str, MakeHome] = {
    "claude": sandbox.claude_home,
    "codex": sandbox.codex_home,
    "opencode": sandbox.opencode_home,
    "gemini": sandbox.gemini_home,
    "pi": sandbox.pi_home,
}
KEYLESS: dict[str, MakeHome] = {"claude": partial(sandbox.claude_home, key_approved=False)}


def installed_kinds() -> Mapping[str, AgentKind]:
    """The kinds of all plugins that are installed here."""
    loaded = read_config(Path("no-such-file.toml"), explicit=False, environ={})
    return PluginHost.build(loaded, node="corpus", state_dir=Path("no-such-folder"), environ={}).kinds


def choose(pins: Mapping[str, PinnedCli], wanted: Iterable[str]) -> list[tuple[str, PinnedCli]]:
    """What `claude`, `claude-2.1.332` name, in that order; nothing wanted: all. Raises ValueError for other names."""
    known = {f"{cli}-{one.version}": (cli, one) for cli, pin in pins.items() for one in pin.versions()}
    chosen: dict[str, tuple[str, PinnedCli]] = {}
    for name in wanted:
        found = {key: value for key, value in known.items() if name in (key, value[0])}
        if not found:
            raise ValueError(f"{name}: known are {', '.join([*pins, *known])}")
        chosen |= found
    return list((chosen or known).values())


def subject(cli: str, pin: PinnedCli, cache: Path, kinds: Mapping[str, AgentKind]) -> Subject:
    """One CLI at one version, installed first if it isn't in `cache`. Raises RuntimeError."""
    binary = installed_binary(cli, pin, cache)
    # An agent that no plugin knows is one of the kind `generic`, which any program can be.
    kind = kinds.get(cli) or kinds.get("generic")
    if kind is None:
        raise RuntimeError(f"no plugin that is installed has the kind {cli!r}, nor 'generic'")
    return Subject(cli, pin.version, kind, (str(binary),), SCRIPTS[cli], HOMES[cli], KEYLESS.get(cli))
