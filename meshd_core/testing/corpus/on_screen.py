"""What stood on a recording's screen when: looked at after each output, apart from what is judged."""

from collections.abc import Callable, Sequence

from msgspec import Struct

from meshd_core.terminal.emulator import Emulator
from meshd_core.testing.corpus.cast import Cast, parse_size


class Look(Struct, frozen=True):
    """The screen from `at` to the next look, without any space."""

    at: float
    screen: str


def looks(cast: Cast) -> list[Look]:
    """One for each output or new size after which something else stands there; never half a frame."""
    found: list[Look] = []
    emulator = Emulator(cast.header.height, cast.header.width)
    try:
        for event in cast.events:
            if event.code == "r":
                size = parse_size(event.data)
                emulator.resize(size.rows, size.cols)
            elif event.code == "o":
                emulator.feed(event.data.encode())
            if event.code not in "or" or emulator.synchronized:
                continue
            screen = compact(emulator.text())
            if not found or found[-1].screen != screen:
                found.append(Look(event.at, screen))
    finally:
        emulator.close()
    return found


def first_seen(looks: Sequence[Look], texts: Sequence[str]) -> tuple[float | None, ...]:
    """Seconds at which each of `texts`, spaces apart, was first on the screen; None: never, and for an empty one."""
    wanted = {text: None for text in map(compact, texts) if text}
    at: dict[str, float] = {}
    for look in looks:
        if not wanted:
            break
        for text in [text for text in wanted if text in look.screen]:
            at[text] = look.at
            del wanted[text]
    return tuple(at.get(compact(text)) for text in texts)


def begins(looks: Sequence[Look], shows: Callable[[str], bool]) -> tuple[float, ...]:
    """Seconds at which the screen came to be one that `shows` is true for."""
    found: list[float] = []
    shown = False
    for look in looks:
        before, shown = shown, shows(look.screen)
        if shown and not before:
            found.append(look.at)
    return tuple(found)


def compact(text: str) -> str:
    """`text` without any space: what stays the same however rows are wrapped."""
    return "".join(text.split())
