"""One request of the protocol as a value: what is sent, how long its answer may take, and what the answer means.

The clients differ only in how they carry a call out.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct, field

from meshd_core.client.answers import decode, error_from
from meshd_core.client.connection import ANSWER_TIMEOUT_S, Answer

T = TypeVar("T")
S = TypeVar("S", bound=Struct)
Query = Mapping[str, str | int | float | list[str] | None]
Reader = Callable[[Answer, str], T]
"""Makes a result of an answer; the second argument is the daemon's address, for messages."""


class Call(Struct, Generic[T], frozen=True):
    method: str
    target: str
    """Path and query."""
    read: Reader[T]
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    timeout_s: float = ANSWER_TIMEOUT_S
    repeatable: bool = False
    """Whether it may be sent again, once, after a kept connection turned out to be closed."""


def like(build: Callable[..., object], method: Callable[..., object], gives: str = "{}") -> None:
    """Name and document `method` as `build`, which takes the same arguments but for `self`. `gives`: what the method
    makes of the `X` of the `Call[X]` or `Start[X]` that `build` returns.
    """
    functools.update_wrapper(method, build)
    signature = inspect.signature(build)
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    inner = str(signature.return_annotation).partition("[")[2].removesuffix("]")  # annotations are text there
    method.__dict__["__signature__"] = signature.replace(
        parameters=[itself, *signature.parameters.values()], return_annotation=gives.format(inner)
    )


def get(path: str, read: Reader[T], query: Query | None = None, *, wait_s: float = 0.0) -> Call[T]:
    """A GET whose answer may take `wait_s` longer than usual. Fields of the query that are None are left out."""
    given = {key: value for key, value in (query or {}).items() if value is not None}
    target = f"{path}?{text}" if (text := urlencode(given, doseq=True)) else path
    return Call("GET", target, read, timeout_s=ANSWER_TIMEOUT_S + wait_s, repeatable=True)


def post(
    path: str,
    read: Reader[T],
    body: Struct,
    *,
    wait_s: float = 0.0,
    headers: dict[str, str] | None = None,
    repeatable: bool = False,
) -> Call[T]:
    """A POST with `body` as JSON."""
    data, timeout_s = msgspec.json.encode(body), ANSWER_TIMEOUT_S + wait_s
    return Call("POST", path, read, data, headers or {}, timeout_s, repeatable)


def delete(path: str, read: Reader[T]) -> Call[T]:
    """A DELETE: of something that is named, so that sending it twice does no more than once."""
    return Call("DELETE", path, read, repeatable=True)


def path(route: str, name: str) -> str:
    """`/route/name` with everything quoted that could leave its segment; `@` stays readable."""
    return f"/{route}/{quote(name, safe='@')}"


def typed(shape: type[T]) -> Reader[T]:
    """Reads the answer as a `shape`; an answer that isn't one of success raises its error."""
    return lambda answer, address: decode(checked(answer, address).body, shape, address)


def part(shape: type[S], pick: Callable[[S], T]) -> Reader[T]:
    """Reads the answer as a `shape` and gives what `pick` takes out of it."""
    return lambda answer, address: pick(decode(checked(answer, address).body, shape, address))


def checked(answer: Answer, address: str) -> Answer:
    """`answer`, if it is one of success. Raises the error that it carries, `BadAnswer` if it carries none."""
    if not 200 <= answer.status < 300:
        raise error_from(answer.status, answer.body, address)
    return answer
