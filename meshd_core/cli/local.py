"""What is installed here, looked at without a daemon."""

from pathlib import Path

from msgspec import Struct

from meshd_core.auth.providers import BuiltinAuth
from meshd_core.auth.tokens import TokenStore
from meshd_core.config.load import LoadedConfig, read_config
from meshd_core.config.places import Places, default_node_name
from meshd_core.plugins.host import PluginHost


class LocalView(Struct, frozen=True):
    """The configuration, judged by itself, and the plugins that a daemon started with it would have."""

    places: Places
    loaded: LoadedConfig
    host: PluginHost


def local_view(config: Path | None = None, state_dir: Path | None = None) -> LocalView:
    """Read the configuration and load the plugins; makes and changes nothing. Raises ConfigErrors if it isn't TOML."""
    places = Places.find(config, state_dir)
    loaded = read_config(places.config_file, explicit=places.config_given)
    host = PluginHost.build(
        loaded,
        builtins=[("builtin-auth", BuiltinAuth(TokenStore(places.state_dir)))],
        node=loaded.config.node.name or default_node_name(),
        state_dir=places.state_dir,
    )
    return LocalView(places, loaded, host)
