"""A full installation has a real user for every hook."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from meshd_core.plugins.implementations import hook_names
from meshd_core.testing.daemon import DaemonProcess
from meshd_core.types import PluginList

PLUGINS = Path(__file__).parents[2] / "plugins"


def test_every_hook_has_a_user_among_the_plugins_of_this_repository(short_tmp: Path) -> None:
    for path in PLUGINS.glob("*/pyproject.toml"):
        try:
            version(path.parent.name)
        except PackageNotFoundError:
            pytest.skip(f"{path.parent.name} is not installed: this is about a full installation")
    if not any(PLUGINS.glob("*/pyproject.toml")):
        pytest.skip("the plugins' sources are not here: this is about a full installation")
    with DaemonProcess(short_tmp, '[[slots]]\nname = "demo"\nkind = "demo"\n') as daemon:
        plugins = daemon.get("/plugins", PluginList).plugins
    assert [(one.name, one.status, one.error) for one in plugins if one.status != "active" or one.error] == []
    users = {hook: [one.name for one in plugins if hook in one.hooks and not one.builtin] for hook in hook_names()}
    assert [hook for hook, names in users.items() if not names] == []
