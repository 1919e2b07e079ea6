"""One line on its way through the redactor: its text, its place among joined lines, and what of it is removed."""

import re

FRAME = " \t│┃║|╎┆▏▕"
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
"""Characters of no width: between those of a secret they would hide it, and a reader doesn't see them."""

Span = tuple[int, int]


class Line:
    """A line that is not shown yet."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.clean = text if text.isascii() else _INVISIBLE.sub("", text)
        """`text` without invisible characters: what is judged, and shown if something is removed."""
        stripped = self.clean.lstrip(FRAME)
        self.lead = len(self.clean) - len(stripped)
        self.body = stripped.rstrip(FRAME)
        """What is joined to the lines around: without the frame at both ends."""
        self.spans: list[Span] = []
        """Parts of `clean` that are removed."""

    def shown(self, replacement: str) -> str:
        """The line with `replacement` in place of each span; overlapping and touching ones are one."""
        if not self.spans:
            return self.text
        result, at = "", 0
        previous = -1
        for low, high in sorted(self.spans):
            if low > previous:
                result += self.clean[at:low] + replacement
            previous = max(previous, high)
            at = previous
        return result + self.clean[at:]
