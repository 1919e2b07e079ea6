"""meshd: the plugin-based host that coding agents live on."""

__version__ = "0.1.0"
