"""Real distributions in a temporary folder: modules with dist-info and entry points, as an installer leaves them."""

import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from meshd_core.config.load import LoadedConfig, read_config
from meshd_core.plugins.host import PluginHost

HEAD = """
from msgspec import Struct
from meshd_core.api import *
from meshd_core.api import hookimpl

class Kind(AgentKind):
    def __init__(self, name):
        self.profile = KindProfile(name=name, title=name, commands=(name,), install_hint="none")

"""


class Site:
    """A folder of installed distributions."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.modules: list[str] = []

    def install(
        self, name: str, source: str = "", *, dist: str = "", group: str = "meshd_core.v1", target: str = "",
        head: str = HEAD, version: str = "1.2",
    ) -> str:  # fmt: skip
        """Install one plugin; its module's name."""
        dist = dist or f"acme-{name}"
        module = f"toy_{dist}_{self.root.name}".replace("-", "_").replace(".", "_")
        (self.root / f"{module}.py").write_text(head + source)
        info = self.root / f"{dist.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}{target}\n")
        self.modules.append(module)
        importlib.invalidate_caches()
        return module

    def config(self, text: str = "") -> LoadedConfig:
        file = self.root / "meshd.toml"
        file.write_text(text)
        return read_config(file)

    def host(
        self, text: str = "", *, environ: Mapping[str, str] | None = None, builtins: Any = (),
    ) -> PluginHost:  # fmt: skip
        return PluginHost.build(
            self.config(text), builtins=builtins, node="n1", state_dir=self.root / "state", environ=environ or {},
            path=[str(self.root)],
        )  # fmt: skip


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(tmp_path))
    site = Site(tmp_path)
    yield site
    for module in site.modules:
        sys.modules.pop(module, None)
