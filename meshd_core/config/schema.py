"""The JSON Schema (2020-12) of `meshd.toml`, for editors: core's sections and what the installed plugins add.

It says what types can say, about names of kinds, filters, providers and sinks by what is installed. `config check`
knows more: duplicates, addresses, secrets.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from meshd_core.config.check import Inventory
from meshd_core.config.described import meanings_of
from meshd_core.config.model import Config, DeliverySection
from meshd_core.contracts.secrets import SecretRef

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REF = "#/$defs/{name}"

Json = dict[str, Any]
"""A piece of the schema, which has no fixed shape."""


def schema(inventory: Inventory, tables: Mapping[str, type[Struct] | None]) -> Json:
    """The schema for what `inventory` has; `tables`: the types of the plugins' own tables, by plugin."""
    shapes = _Shapes([Config, SecretRef, *inventory.kinds.values(), *inventory.sinks.values(), *tables.values()])
    config = shapes.take(Config)
    _slots(shapes, inventory)
    config["properties"]["sinks"] = _sinks(shapes, inventory)
    config["properties"]["plugins"] = _plugins(shapes, tables)
    shapes.named("AuthSection")["properties"]["providers"]["items"] = {"enum": sorted(inventory.auth_providers)}
    for name in ("plugin_order", "required_plugins"):
        known = sorted({plugin.name for plugin in inventory.plugins})
        shapes.named("NodeSection")["properties"][name]["items"] = {"examples": known, "type": "string"}
    shapes.take(SecretRef)["oneOf"] = [{"required": ["env"]}, {"required": ["file"]}]
    found: Json = {"$schema": DIALECT, **config, "title": "meshd.toml", "$defs": shapes.defs}
    del shapes.defs[shapes.name(Config)]
    cleaned: Json = _without_null(found)
    return cleaned


class _Shapes:
    """The definitions of all types that take part, with the meanings of their fields."""

    def __init__(self, kinds: list[type[Struct] | None]) -> None:
        wanted: dict[type[Struct], None] = {}
        for kind in kinds:
            if kind is not None:
                _reach(kind, wanted)
        made: tuple[tuple[Json, ...], Json] = msgspec.json.schema_components(list(wanted), ref_template=_REF)
        references, self.defs = made
        self._names: dict[type[Struct], str] = {
            kind: reference["$ref"].rpartition("/")[2] for kind, reference in zip(wanted, references, strict=True)
        }
        for kind, name in self._names.items():
            meanings = meanings_of(kind)
            for field in msgspec.structs.fields(kind):
                if field.name in meanings:
                    self.defs[name]["properties"][field.encode_name]["description"] = meanings[field.name]

    def name(self, kind: type[Struct]) -> str:
        return self._names[kind]

    def named(self, name: str) -> Json:
        found: Json = self.defs[name]
        return found

    def take(self, kind: type[Struct]) -> Json:
        """The definition itself, to be changed."""
        return self.named(self._names[kind])

    def reference(self, kind: type[Struct]) -> Json:
        return {"$ref": _REF.format(name=self._names[kind])}


def _reach(kind: type[Struct], found: dict[type[Struct], None]) -> None:
    """`kind` and every Struct below it."""
    if kind in found:
        return
    found[kind] = None
    waiting: list[Any] = [field.type for field in msgspec.inspect.type_info(kind).fields]  # type: ignore[attr-defined]
    while waiting:
        info = waiting.pop()
        if isinstance(info, msgspec.inspect.StructType):
            _reach(info.cls, found)
        for part in ("types", "item_types"):
            waiting += getattr(info, part, ())
        for part in ("item_type", "key_type", "value_type", "type"):
            if isinstance(child := getattr(info, part, None), msgspec.inspect.Type):
                waiting.append(child)


def _slots(shapes: _Shapes, inventory: Inventory) -> None:
    """A slot's kind is one of those installed; its options are those of its kind."""
    slot = shapes.named("SlotSection")
    slot["properties"]["kind"] = {"enum": sorted(inventory.kinds), "description": "an installed agent kind"}
    slot["properties"]["filters"]["items"] = {"enum": sorted(inventory.filters)}
    slot["allOf"] = [
        {
            "if": {"properties": {"kind": {"const": name}}, "required": ["kind"]},
            "then": {"properties": {"options": shapes.reference(kind) if kind else {"maxProperties": 0}}},
        }
        for name, kind in sorted(inventory.kinds.items())
    ] or [True]  # an empty list is no JSON Schema


def _sinks(shapes: _Shapes, inventory: Inventory) -> Json:
    """`[sinks.<name>]`: its keys are core's two and those of the sink that `plugin` names."""
    delivery = msgspec.json.schema(DeliverySection)["$defs"]["DeliverySection"]
    for key, meaning in meanings_of(DeliverySection).items():
        delivery["properties"][key]["description"] = meaning
    plugin = {"enum": sorted(inventory.sinks), "description": "the sink, by the name that its plugin gives it"}
    return {
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "required": ["plugin"],
            "properties": {"plugin": plugin, "delivery": delivery},
            "allOf": [
                {
                    "if": {"properties": {"plugin": {"const": name}}, "required": ["plugin"]},
                    "then": _with(shapes, kind, {"plugin": True, "delivery": True}),
                }
                for name, kind in sorted(inventory.sinks.items())
            ]
            or [True],
        },
    }


def _plugins(shapes: _Shapes, tables: Mapping[str, type[Struct] | None]) -> Json:
    enabled = {"type": "boolean", "default": True, "description": "whether the plugin is used"}
    properties = {name: _with(shapes, kind, {"enabled": enabled}) for name, kind in sorted(tables.items())}
    other = {"type": "object", "properties": {"enabled": enabled}}
    return {"type": "object", "properties": properties, "additionalProperties": other}


def _with(shapes: _Shapes, kind: type[Struct] | None, more: Json) -> Json:
    """The table of `kind` with further keys: a reference would forbid them."""
    table: Json = dict(shapes.take(kind)) if kind else {"type": "object", "additionalProperties": False}
    table.pop("title", None)
    table["properties"] = {**more, **table.get("properties", {})}
    return table


def _without_null(piece: Any) -> Any:
    """TOML has no null: where a key may be null it may be left out."""
    if isinstance(piece, list):
        return [_without_null(item) for item in piece]
    if not isinstance(piece, dict):
        return piece
    found = {key: _without_null(item) for key, item in piece.items() if not (key == "default" and item is None)}
    arms = found.get("anyOf")
    if isinstance(arms, list) and {"type": "null"} in arms:
        left = [arm for arm in arms if arm != {"type": "null"}]
        del found["anyOf"]
        found = {**found, **left[0]} if len(left) == 1 else {**found, "anyOf": left}
    return found
