"""What is known of a recording besides its bytes: what the script did, and what the model backend saw.

All times are seconds from the cast's start.
"""

from collections.abc import Sequence

from msgspec import Struct, field

from meshd_core.testing.model_backend import Answered, Received


class Exchange(Struct, frozen=True):
    """One request of a turn, and the answer to it."""

    arrived: float
    prompt: str
    earlier: tuple[str, ...]
    goes_on: bool
    """It brings a tool's result, not a prompt."""
    status: int
    first_byte: float | None = None
    last_byte: float | None = None
    whole: bool = False
    text: str = ""
    tool: str | None = None


class Typed(Struct, frozen=True):
    """A prompt, and when Enter was written."""

    text: str
    at: float


class Question(Struct):
    """An approval dialog: when the script saw it, when its answer was typed, and whether that was a denial."""

    seen: float
    answered: float | None = None
    denied: bool = False


class Screen(Struct):
    """A trust, login or first-run screen: when the script saw it and when it typed a key."""

    seen: float
    left: float | None = None


class Facts(Struct):
    """What the script did."""

    screens: list[Screen] = field(default_factory=list)
    ready: list[float] = field(default_factory=list)
    typed: list[Typed] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)
    interrupts: list[float] = field(default_factory=list)
    leaving: float | None = None
    """When the keys were typed that make it exit, or its kill was sent."""


def exchanges(received: Sequence[Received], answered: Sequence[Answered], started: float) -> list[Exchange]:
    """The requests of turns since `started`, in order. Side requests (titles and such) have no tools."""
    answers = {answer.answer_to: answer for answer in answered}
    return [
        _exchange(one, answers.get(one.id) or Answered(one.id, one.status), started)
        for one in received
        if one.tools and one.t >= started
    ]


def _exchange(received: Received, answer: Answered, started: float) -> Exchange:
    def since(at: float | None) -> float | None:
        return None if at is None else round(at - started, 4)

    return Exchange(
        arrived=round(received.t - started, 4),
        prompt=received.prompt,
        earlier=received.earlier,
        goes_on=received.tool_result is not None,
        status=answer.status,
        first_byte=since(answer.first_byte),
        last_byte=since(answer.last_byte),
        whole=answer.whole,
        text=answer.text,
        tool=answer.tool,
    )
