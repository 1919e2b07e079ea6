"""When texts stood whole on a recording's screen: looked at after each output, apart from what is judged."""

from collections.abc import Sequence

from meshd_core.terminal.emulator import Emulator
from meshd_core.testing.corpus.cast import Cast, parse_size


def seen_on_screen(cast: Cast, texts: Sequence[str]) -> tuple[float | None, ...]:
    """Seconds at which each of `texts`, spaces apart, was first on the screen; None: never, and for an empty one."""
    wanted = {text: None for text in map(compact, texts) if text}
    at: dict[str, float] = {}
    emulator = Emulator(cast.header.height, cast.header.width)
    try:
        for event in cast.events:
            if event.code == "r":
                size = parse_size(event.data)
                emulator.resize(size.rows, size.cols)
            elif event.code == "o":
                emulator.feed(event.data.encode())
            if event.code not in "or" or emulator.synchronized or not wanted:
                continue
            screen = compact(emulator.text())
            for text in [text for text in wanted if text in screen]:
                at[text] = event.at
                del wanted[text]
    finally:
        emulator.close()
    return tuple(at.get(compact(text)) for text in texts)


def compact(text: str) -> str:
    """`text` without any space: what stays the same however rows are wrapped."""
    return "".join(text.split())
