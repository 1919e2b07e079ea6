"""The generated pages by name, and what is installed to make them from."""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from docs.generate import cli_page, configuration_page, errors_page
from meshd_core.cli.local import bare_view
from meshd_core.hookspecs import ENTRY_POINT_GROUP
from meshd_core.plugins.host import PluginHost

ROOT = Path(__file__).parents[2]
PAGES: dict[str, Callable[[PluginHost], str]] = {
    "cli.md": cli_page.page,
    "configuration.md": configuration_page.page,
    "errors.md": errors_page.page,
}


class DistributionMissing(Exception):
    """The pages tell of every plugin of this repository, so all have to be installed."""


def rendered(name: str) -> str:
    """The page's text. Raises DistributionMissing."""
    return PAGES[name](_host())


def _host() -> PluginHost:
    """Core and the plugins of this repository, whatever else is installed."""
    names = ["demo"]
    for path in sorted(ROOT.glob("plugins/*/pyproject.toml")):
        try:
            points = distribution(path.parent.name).entry_points.select(group=ENTRY_POINT_GROUP)
        except PackageNotFoundError as error:
            raise DistributionMissing(f"{path.parent.name} is not installed here") from error
        names += [point.name for point in points]
    return bare_view({"MESHD_PLUGINS": ",".join(names)}).host
