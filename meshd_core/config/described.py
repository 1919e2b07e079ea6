"""The keys of a table in words: what type, which default, what it means.

The meaning is the string below the field in the class's source, as everywhere in this code base, or the description in
its `Meta`. A class whose source is not at hand just has no meanings.
"""

import ast
import inspect
import itertools
import textwrap
import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Meta, Struct
from msgspec.structs import FieldInfo, fields

from meshd_core.contracts.secrets import SecretRef
from meshd_core.types import NAME_PATTERN

_WORDS: dict[Any, str] = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "anything"}


class Key(Struct, frozen=True):
    """One key of a table."""

    name: str
    type: str
    """In words, as `list of text`."""
    required: bool
    default: str | None
    """As TOML; None: it is required, or there is none."""
    meaning: str


def keys_of(kind: type[Struct]) -> list[Key]:
    """The keys of `kind`, in their order."""
    meanings = meanings_of(kind)
    return [
        Key(field.encode_name, in_words(field.type), field.required, _default(field), meanings.get(field.name, ""))
        for field in fields(kind)
    ]


def meanings_of(kind: type[Struct]) -> dict[str, str]:
    """What the fields of `kind` mean, by field, those of its bases too."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if isinstance(base, type) and issubclass(base, Struct) and base is not Struct:
            found |= below_assignments(base)
    for field in fields(kind):
        description = next((meta.description for meta in _metas(field.type) if meta.description), None)
        if description and field.name not in found:
            found[field.name] = description
    return found


def in_words(kind: Any) -> str:
    """A type as people call it: `1 to 200`, `list of text`, "`never`, `always`"."""
    kind, limits = _bare(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return " or ".join(in_words(arm) for arm in arguments if arm is not type(None))
    if origin is Literal:
        return ", ".join(f"`{choice}`" for choice in arguments)
    if origin in (list, tuple, set, frozenset):
        return f"list of {in_words(arguments[0])}"
    if origin is dict:
        return f"table of {in_words(arguments[1])}"
    if kind is SecretRef:
        return "secret"
    if isinstance(kind, type) and issubclass(kind, Struct):
        return "table"
    if any(meta.pattern == NAME_PATTERN for meta in limits):
        return "name"
    return _WORDS.get(kind, getattr(kind, "__name__", "anything")) + _limits(limits)


def as_toml(value: object) -> str:
    """A plain value, or a list or table of such, as TOML in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {as_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(as_toml(item) for item in value) + "]"
    return msgspec.json.encode(value).decode()


def below_assignments(kind: type) -> dict[str, str]:
    """The strings below the fields in the source of `kind` itself."""
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    except (OSError, TypeError, SyntaxError):
        return {}
    found: dict[str, str] = {}
    statements = body[0].body if body and isinstance(body[0], ast.ClassDef) else []
    for field, below in itertools.pairwise(statements):
        name = _target(field)
        if name and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            found[name] = " ".join(str(below.value.value).split())
    return found


def _target(statement: ast.stmt) -> str | None:
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
            return name
        case _:
            return None


def _default(field: FieldInfo) -> str | None:
    if field.default_factory is not NODEFAULT:
        made = field.default_factory()
        return None if isinstance(made, Struct) else as_toml(msgspec.to_builtins(made))
    if field.default is NODEFAULT or field.default is None or isinstance(field.default, Struct):
        return None
    return as_toml(msgspec.to_builtins(field.default))


def _bare(kind: Any) -> tuple[Any, list[Meta]]:
    metas = []
    while get_origin(kind) is Annotated:
        kind, *more = get_args(kind)
        metas += [meta for meta in more if isinstance(meta, Meta)]
    return kind, metas


def _metas(kind: Any) -> list[Meta]:
    """Those of `kind`, and of the arms of a union."""
    bare, metas = _bare(kind)
    if get_origin(bare) in (Union, types.UnionType):
        return metas + [meta for arm in get_args(bare) for meta in _metas(arm)]
    return metas


def _limits(metas: list[Meta]) -> str:
    """As `, 1 to 200`; lengths and patterns are told by the error that breaks them."""
    for meta in metas:
        low = meta.ge if meta.ge is not None else meta.gt
        high = meta.le if meta.le is not None else meta.lt
        if low is None and high is None:
            continue
        if high is None:
            return f", {'at least' if meta.gt is None else 'more than'} {low:,}"
        if low is None:
            return f", at most {high:,}"
        return f", {'more than ' if meta.gt is not None else ''}{low:,} to {high:,}"
    return ""
