"""From a slot's configuration to what the keeper spawns.

The agent's environment is the daemon's without its secrets: no variable of meshd's own, none that the configuration
names as a secret. That is hygiene, not isolation: an agent with the daemon's user id can read the daemon's files.
"""

import os
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from meshd_core.config.model import SlotSection
from meshd_core.contracts.kinds import AgentKind, KindProfile, Launch, LaunchSpec
from meshd_core.errors import StartFailed
from meshd_core.pty.messages import SpawnSpec

UNATTENDED = frozenset({"CI", "CONTINUOUS_INTEGRATION", "GITHUB_ACTIONS"})
"""By these a program knows that nobody sits at its terminal, which in a slot is wrong: Gemini CLI 0.61.0 with `CI=true`
takes no keys and exits at once with 42 for want of a prompt. A slot's own `env` may set them."""

Prepare = Callable[[AgentKind, LaunchSpec], Launch]


class Launcher:
    """Plans the runs of one slot. `prepare` asks the plugins (`meshd_prepare_launch`)."""

    def __init__(
        self, section: SlotSection, node: str, kind: AgentKind, profile: KindProfile, prepare: Prepare,
        secret_names: Collection[str],
    ) -> None:  # fmt: skip
        self._node, self._prepare = node, prepare
        self.configure(section, kind, profile, secret_names)

    def configure(
        self, section: SlotSection, kind: AgentKind, profile: KindProfile, secret_names: Collection[str]
    ) -> None:
        """The configuration changed: the next run is planned from this."""
        self.section, self._kind, self.profile, self._secret_names = section, kind, profile, secret_names

    def plan(
        self, *, resume: bool, last_meta: Mapping[str, str], earlier_meta: Collection[Mapping[str, str]],
        extra_meta: Mapping[str, str], extra_env: Mapping[str, str],
    ) -> SpawnSpec:  # fmt: skip
        """What to spawn. Raises StartFailed with the reason: no such binary, no such folder, a plugin that failed."""
        section = self.section
        env = self._environment()
        cwd = self.folder()
        self.check()
        spec = LaunchSpec(
            slot=section.name, node=self._node, command=self._command(), args=tuple(section.args), cwd=str(cwd),
            env=env, resume=resume, resume_args=self.profile.resume_args if resume else (), last_meta=last_meta,
            earlier_meta=tuple(earlier_meta),
        )  # fmt: skip
        launch = self._prepare(self._kind, spec)
        return SpawnSpec(
            slot=section.name, argv=launch.argv, env={**env, **launch.env, **extra_env}, cwd=str(cwd),
            rows=section.rows, cols=section.cols, meta={**launch.meta, **extra_meta},
        )  # fmt: skip

    def check(self) -> None:
        """Raises StartFailed, with the way out, if the folder or the program isn't there."""
        cwd = self.folder()
        if not cwd.is_dir():
            raise StartFailed(
                f"slot {self.section.name}: the folder {cwd} does not exist",
                hint="make it, or correct 'cwd' in meshd.toml",
            )
        self.binary()

    def folder(self) -> Path:
        """The slot's working folder, absolute."""
        return Path(self.section.cwd)

    def binary(self) -> str:
        """The program that would be run. Raises StartFailed, with how to get it, if there is none."""
        name = self._command()[0]
        search = self._environment().get("PATH", os.defpath)
        path = name if os.sep not in name else str(self.folder() / Path(name).expanduser())
        found = shutil.which(path, path=search)
        if found is None:
            where = "is not an executable file" if os.sep in name else "is not on PATH"
            hint = self.profile.install_hint if self.section.command is None else "correct 'command' in meshd.toml"
            raise StartFailed(f"slot {self.section.name}: {name!r} {where}", hint=hint, binary=name)
        return found

    def _command(self) -> tuple[str, ...]:
        command = tuple(self.section.command or self.profile.commands)
        if not command:
            raise StartFailed(
                f"slot {self.section.name}: kind {self.profile.name!r} has no command of its own",
                hint="set 'command' for the slot in meshd.toml",
            )
        return command

    def _environment(self) -> dict[str, str]:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("MESHD_") and name not in self._secret_names and name not in UNATTENDED
        }
        return {**kept, "TERM": "xterm-256color", "COLORTERM": "truecolor", **self.section.env}
