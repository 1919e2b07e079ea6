"""Typed decoding that reports every error, not only the first.

msgspec stops at the first mistake; this walks the type beside the data, field by field, and collects them. Leaves are
judged by msgspec itself, so that both agree on what is valid.
"""

import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import FieldInfo, fields

from meshd_core.config.lines import KeyPath, line_of
from meshd_core.config.problems import ConfigProblem, did_you_mean, shown
from meshd_core.contracts.secrets import SecretRef
from meshd_core.types import NAME_PATTERN

T = TypeVar("T", bound=Struct)

NAME_RULE = "must be lower-case letters, digits, '.', '_' and '-', start with a letter or digit, and have at most 63"
SECRET_RULE = "must name where the secret lies, never hold it"  # noqa: S105 - a message
SECRET_HINT = 'write { env = "NAME" } or { file = "path" }'  # noqa: S105 - a message
_NAME = re.compile(NAME_PATTERN)
_WORDS = {
    "str": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "array": "a list",
    "object": "a table", "datetime": "a date and time", "date": "a date", "time": "a time",
}  # fmt: skip


def is_name(text: str) -> bool:
    """Whether `text` is a name of the protocol; stricter than the pattern alone, whose `$` lets a newline pass."""
    return _NAME.fullmatch(text) is not None and not text.endswith("\n")


class Document(Struct, frozen=True):
    """One configuration as read: what places in messages are made from."""

    file: str
    """The file's name as messages show it."""
    data: Mapping[str, Any]
    lines: Mapping[KeyPath, int] = {}

    def problem(self, path: KeyPath, reason: str, hint: str | None = None) -> ConfigProblem:
        """A problem at `path`: its line where known, elements of lists with their names."""
        line = line_of(self.lines, path)
        start = self.file if line is None else f"{self.file}:{line}"
        return ConfigProblem(f"{start}: {self._spell(path)}" if path else start, reason, hint)

    def _spell(self, path: KeyPath) -> str:
        text, node = "", self.data
        for part in path:
            node = _child(node, part)
            if isinstance(part, int):
                name = node.get("name") if isinstance(node, dict) else None
                text += f"[{part}]" + (f" ({name if is_name(name) else shown(name)})" if isinstance(name, str) else "")
            else:
                bare = re.fullmatch(r"[A-Za-z0-9_-]{1,63}", part)
                text += ("." if text else "") + (part if bare else shown(part))
        return text


def decode(
    kind: type[T], value: object, document: Document, path: KeyPath = ()
) -> tuple[T | None, list[ConfigProblem]]:
    """`value` as an instance of `kind`, or None and everything that is wrong with it."""
    walk = Walk(document)
    walk.value(kind, value, path)
    if walk.problems:
        return None, walk.problems
    try:
        return msgspec.convert(value, kind), []
    except (msgspec.ValidationError, RecursionError) as error:
        # What only the type as a whole can say: `__post_init__`, tagged unions, lengths of lists.
        return None, [document.problem(path, _plain(str(error)))]


class Walk:
    """One walk through data along a type. `value` returns the valid parts, with defaults in place of the others."""

    FAILED: Any = object()

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[ConfigProblem] = []

    def value(self, kind: Any, value: object, path: KeyPath) -> Any:
        """`value` as `kind`, made of its valid parts; `FAILED` if nothing of it is usable."""
        bare = _without_none(_bare(kind))
        origin = get_origin(bare)
        if origin in (Union, types.UnionType):
            tables = [arm for arm in get_args(bare) if _is_struct(arm)]
            if isinstance(value, dict) and len(tables) == 1:
                return self._struct(tables[0], value, path)
            return self._leaf(kind, value, path)
        if _is_struct(bare):
            return self._struct(bare, value, path)
        if origin is list:
            return self._list(get_args(bare)[0], value, path)
        if origin is dict:
            key_kind, value_kind = get_args(bare)
            return self._dict(key_kind, value_kind, value, path)
        if origin is Literal:
            return self._literal(get_args(bare), value, path)
        return self._leaf(kind, value, path)

    def _add(self, path: KeyPath, reason: str, hint: str | None = None) -> Any:
        self.problems.append(self.document.problem(path, reason, hint))
        return self.FAILED

    def _struct(self, kind: type[Struct], value: object, path: KeyPath) -> Any:
        if kind is SecretRef and not isinstance(value, dict):
            return self._add(path, SECRET_RULE, SECRET_HINT)
        if not isinstance(value, dict):
            return self._add(path, f"must be a table, not {_word(value)}")
        known = {field.encode_name: field for field in fields(kind)}
        if kind.__struct_config__.forbid_unknown_fields:
            otherwise = "known: " + ", ".join(known) if known else "this table has no keys"
            for key in value:
                if key not in known:
                    self._add((*path, key), "unknown key", did_you_mean(key, known, otherwise=otherwise))
        made = {}
        for key, field in known.items():
            if key not in value and field.required:
                self._add(path, f"{key!r} is missing")
            part = self.value(field.type, value[key], (*path, key)) if key in value else self.FAILED
            if part is self.FAILED and field.required:
                part = _placeholder(field)
            if part is not self.FAILED:
                made[field.name] = part
        try:
            return kind(**made)
        except (ValueError, TypeError):  # a `__post_init__`: `decode` reports it
            return self.FAILED

    def _list(self, element: Any, value: object, path: KeyPath) -> Any:
        if not isinstance(value, list):
            if _is_struct(_bare(element)) and isinstance(value, dict):
                return self._add(path, "must be a list of tables", f"write [[{path[-1]}]] instead of [{path[-1]}]")
            return self._add(path, f"must be a list, not {_word(value)}")
        parts = [self.value(element, item, (*path, at)) for at, item in enumerate(value)]
        if _is_struct(_bare(element)):
            # Places stay what they are in the file: later checks count on it.
            return [_empty(_bare(element)) if part is self.FAILED else part for part in parts]
        return [part for part in parts if part is not self.FAILED]

    def _dict(self, key_kind: Any, value_kind: Any, value: object, path: KeyPath) -> Any:
        if not isinstance(value, dict):
            tables = get_origin(_bare(value_kind)) is dict
            hint = f"write a table for each, as [{path[-1]}.<name>]" if tables else None
            return self._add(path, f"must be a table, not {_word(value)}", hint)
        parts = {}
        for key, item in value.items():
            good_key = self.value(key_kind, key, (*path, key))
            part = self.value(value_kind, item, (*path, key))
            if good_key is not self.FAILED and part is not self.FAILED:
                parts[good_key] = part
        return parts

    def _literal(self, choices: tuple[object, ...], value: object, path: KeyPath) -> Any:
        if any(type(value) is type(choice) and value == choice for choice in choices):
            return value
        texts = [choice for choice in choices if isinstance(choice, str)]
        hint = did_you_mean(value, texts) if isinstance(value, str) else None
        return self._add(path, "must be one of " + ", ".join(repr(choice) for choice in choices), hint)

    def _leaf(self, kind: Any, value: object, path: KeyPath) -> Any:
        if isinstance(value, str) and _wants_name(kind) and not is_name(value):
            slug = re.sub(r"[^a-z0-9._-]+", "-", value.lower()).strip("._-")[:63]
            return self._add(path, NAME_RULE, f"for example {slug!r}" if is_name(slug) else None)
        try:
            return msgspec.convert(value, kind)
        except msgspec.ValidationError as error:
            return self._add(path, _plain(str(error)))
        except RecursionError:
            return self._add(path, "is nested too deeply")


def _child(node: Any, part: str | int) -> Any:
    if isinstance(part, int):
        return node[part] if isinstance(node, list) and part < len(node) else None
    return node.get(part) if isinstance(node, Mapping) else None


def _bare(kind: Any) -> Any:
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return kind


def _without_none(kind: Any) -> Any:
    """TOML has no null: `X | None` is X."""
    if get_origin(kind) not in (Union, types.UnionType):
        return kind
    arms = [arm for arm in get_args(kind) if arm is not type(None)]
    return _bare(arms[0]) if len(arms) == 1 else Union[tuple(arms)]  # noqa: UP007 - built at run time


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct) and kind.__struct_config__.tag is None


def _wants_name(kind: Any) -> bool:
    """Whether `kind` is `Name`, also as one arm of a union with None."""
    if get_origin(kind) in (Union, types.UnionType):
        return any(_wants_name(arm) for arm in get_args(kind))
    return any(isinstance(meta, Meta) and meta.pattern == NAME_PATTERN for meta in getattr(kind, "__metadata__", ()))


def _placeholder(field: FieldInfo) -> Any:
    return "" if _bare(field.type) is str else None


def _empty(kind: type[Struct]) -> Struct:
    return kind(**{field.name: _placeholder(field) for field in fields(kind) if field.required})


def _word(value: object) -> str:
    names = {bool: "bool", int: "int", float: "float", str: "str", list: "array", dict: "object"}
    return _WORDS.get(names.get(type(value), type(value).__name__), "this")


def _words(kinds: str) -> str:
    """`str | object | null` as 'text or a table': TOML has no null."""
    return " or ".join(_WORDS.get(kind, f"`{kind}`") for kind in kinds.split(" | ") if kind != "null")


def _plain(message: str) -> str:
    """A message of msgspec in words of the file."""
    message = re.sub(r"`([a-z]+(?: \| [a-z]+)*)`", lambda found: _words(found[1]), message)
    message = re.sub(r" - at `(?:key in )?\$\.?(.*)`$", lambda found: f" (at {found[1]})" if found[1] else "", message)
    return message.replace("Expected ", "must be ", 1).replace(", got ", ", not ", 1)
