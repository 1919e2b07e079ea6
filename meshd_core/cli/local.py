"""What is installed here, looked at without a daemon."""

from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from meshd_core.auth.providers import BuiltinAuth
from meshd_core.auth.tokens import TokenStore
from meshd_core.config.decode import Document
from meshd_core.config.load import LoadedConfig, read_config
from meshd_core.config.model import Config
from meshd_core.config.places import Places, default_node_name
from meshd_core.config.problems import ConfigErrors
from meshd_core.plugins.host import PluginHost


class LocalView(Struct, frozen=True):
    """The configuration, judged by itself, and the plugins that a daemon started with it would have."""

    places: Places
    loaded: LoadedConfig
    host: PluginHost


def local_view(config: Path | None = None, state_dir: Path | None = None) -> LocalView:
    """Read the configuration and load the plugins; makes and changes nothing. Raises ConfigErrors if it isn't TOML."""
    places = Places.find(config, state_dir)
    return _view(places, read_config(places.config_file, explicit=places.config_given))


def installed_view() -> LocalView:
    """As `local_view`, but a configuration that can't be read counts as empty: what is installed is there anyway."""
    try:
        return local_view()
    except ConfigErrors:
        return bare_view()


def bare_view(environ: Mapping[str, str] | None = None) -> LocalView:
    """What is installed, without any configuration."""
    places = Places.find()
    base = places.config_file.parent
    return _view(places, LoadedConfig(Config(), None, base, Document(places.config_file.name, {})), environ)


def _view(places: Places, loaded: LoadedConfig, environ: Mapping[str, str] | None = None) -> LocalView:
    host = PluginHost.build(
        loaded,
        builtins=[("builtin-auth", BuiltinAuth(TokenStore(places.state_dir)))],
        node=loaded.config.node.name or default_node_name(),
        state_dir=places.state_dir,
        environ=environ,
    )
    return LocalView(places, loaded, host)
