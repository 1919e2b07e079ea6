"""The project's pages, read as Markdown: sections, tables, code blocks."""

import re
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).parents[2]
_HEADING = re.compile(r"^(#+) (.+)$")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


class Page(Struct, frozen=True):
    """One Markdown file."""

    path: Path
    text: str

    def section(self, heading: str) -> str:
        """What stands under `heading` up to the next heading of its level or above. Raises KeyError."""
        found, level, fenced = [], 0, False
        for line in self.text.split("\n"):
            fenced ^= line.startswith("```")
            match = None if fenced else _HEADING.match(line)
            if match and level and len(match[1]) <= level:
                break
            if level:
                found.append(line)
            elif match and match[2] == heading:
                level = len(match[1])
        if not level:
            raise KeyError(heading)
        return "\n".join(found)

    def headings(self) -> list[str]:
        return [match[2] for line in self.prose().split("\n") if (match := _HEADING.match(line))]

    def prose(self) -> str:
        """The text without code blocks."""
        return _FENCE.sub("", self.text)

    def code(self, language: str, section: str | None = None) -> list[str]:
        """The code blocks in `language`."""
        text = self.text if section is None else self.section(section)
        return [body for name, body in _FENCE.findall(text) if name == language]

    def links(self) -> list[str]:
        return _LINK.findall(self.prose())

    def anchors(self) -> set[str]:
        """Headings as links name them: lower case, without punctuation, spaces as hyphens."""
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in self.headings()}


def rows(text: str) -> Iterator[list[str]]:
    """The cells of all table rows in `text`, headings and rules left out, backticks removed from the first cell."""
    before = ""
    for line in text.split("\n"):
        if line.startswith("|") and before.startswith("|") and not line.startswith("|-"):
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]
            yield [cells[0].strip("`"), *cells[1:]]
        before = line
