"""docs/configuration.md: every key of `meshd.toml`, from the types that decode it."""

from collections.abc import Iterator

from msgspec import Struct

from docs.generate.markdown import document, paragraph, table
from meshd_core.config.described import keys_of
from meshd_core.config.model import (
    AuthSection,
    DeliverySection,
    HttpSection,
    NodeSection,
    PeerSection,
    SlotSection,
)
from meshd_core.plugins.host import PluginHost

_INTRO = """
One TOML file, `meshd.toml`, says everything: `meshd init` writes a commented one, `meshd config check` judges it, with
all errors at once, and `meshd config schema` makes a JSON Schema with which an editor completes and checks it. Where
the file and the state lie is in [protocol.md](protocol.md#6-configuration), with a complete example.

Every key is optional unless it says `required`. An unknown key is an error. Whole numbers and numbers take what stands
behind them. A secret is never in the file: `{ env = "NAME" }` names an environment variable, `{ file = "path" }` a
file, relative to the configuration's folder.
"""
_SECTIONS: tuple[tuple[str, type[Struct]], ...] = (
    ("[node]", NodeSection),
    ("[[slots]]", SlotSection),
    ("[[nodes]]", PeerSection),
    ("[auth]", AuthSection),
    ("[http]", HttpSection),
)


def page(host: PluginHost) -> str:
    """The page, with the tables of these plugins."""
    return document(["# Configuration", *_intro(), *_core(), *_kinds(host), *_sinks(host), *_plugins(host)])


def _intro() -> Iterator[str]:
    for part in _INTRO.strip().split("\n\n"):
        yield paragraph(part)


def _core() -> Iterator[str]:
    for name, kind in _SECTIONS:
        yield f"## {name}"
        yield paragraph(_summary(kind))
        yield _keys(kind)


def _kinds(host: PluginHost) -> Iterator[str]:
    kinds = host.inventory().kinds
    yield "## [slots.options]"
    yield "The options of a slot's kind, below its `[[slots]]`."
    for name, kind in sorted(kinds.items()):
        if kind is not None:
            yield f"### kind {name}"
            yield _keys(kind)
    without = ", ".join(f"`{name}`" for name, kind in sorted(kinds.items()) if kind is None)
    yield paragraph(f"Kinds without options: {without}.") if without else ""


def _sinks(host: PluginHost) -> Iterator[str]:
    yield "## [sinks.<name>]"
    yield paragraph(
        "A fleet sink, under a name of your choice. `plugin` is required and names the sink, so that several of one "
        "kind work side by side; the other keys are that sink's own, but for the table `delivery`."
    )
    for name, kind in sorted(host.inventory().sinks.items()):
        if kind is not None:
            yield f'### plugin = "{name}"'
            yield _keys(kind)
    yield "### [sinks.<name>.delivery]"
    yield "How core delivers to it."
    yield _keys(DeliverySection)


def _plugins(host: PluginHost) -> Iterator[str]:
    yield "## [plugins.<name>]"
    yield paragraph(
        "What a plugin has to be told, by the name of its entry point. `enabled` is core's own key: `false` leaves the "
        "plugin out. Plugins that are not listed here have no keys of their own."
    )
    for name, kind in sorted(host.config_types().items()):
        if kind is not None:
            yield f"### [plugins.{name}]"
            yield _keys(kind)


def _keys(kind: type[Struct]) -> str:
    rows = [
        (
            f"`{key.name}`",
            key.type,
            "required" if key.required else f"`{key.default}`" if key.default is not None else "",
            key.meaning,
        )
        for key in keys_of(kind)
    ]
    return table(("key", "type", "default", "meaning"), rows)


def _summary(kind: type[Struct]) -> str:
    return (kind.__doc__ or "").strip().split("\n\n")[0]
