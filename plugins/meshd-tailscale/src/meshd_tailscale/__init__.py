"""The auth provider `tailscale`: who calls is who tailscaled says has the address; and `meshd tailscale whois`."""

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from meshd_core.api import AuthProvider, PluginContext, hookimpl
from meshd_tailscale.config import TailscaleConfig


@hookimpl
def meshd_config_type() -> type[Struct]:
    """`[plugins.tailscale]`."""
    return TailscaleConfig


@hookimpl
def meshd_auth_providers(ctx: PluginContext) -> Iterable[AuthProvider]:
    """The provider `tailscale`."""
    from meshd_tailscale.provider import TailscaleProvider  # here, because commands do without it

    return (TailscaleProvider(ctx.config),)


@hookimpl
def meshd_cli(ctx: PluginContext, group: Any) -> None:
    """The commands `meshd tailscale ...`."""
    from meshd_tailscale.commands import tailscale_commands

    group.add_command(tailscale_commands(ctx.config))
