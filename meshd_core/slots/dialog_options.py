"""What a dialog offers, as the screen shows it: labels in their order, the marked one, and the keys that rows name.

Numbers and order change from version to version, and what a program is about to run may be drawn to look like an
option. So an answer goes by an exact label, and only if it stands there once. A menu's rows are read unknown.
"""

import re
from collections import Counter
from itertools import islice

from msgspec import Struct, field

from meshd_core.contracts.kinds import MENU, Rule
from meshd_core.slots.marked_list import marked_list
from meshd_core.types import DialogOption

MAX_OPTIONS = 20
_MAX_LABEL = 200


class Offered(Struct, frozen=True):
    """`keys`: by option id, what its row says that chooses it; `question`: the words above them, of a menu."""

    options: tuple[DialogOption, ...]
    keys: dict[str, str] = field(default_factory=dict)
    question: str | None = None


def offered(rule: Rule, match: re.Match[str], start: int) -> Offered:
    """The options of the dialog that `rule` sees by its `match`, from the position `start` on."""
    if rule.option_pattern is None:
        # Without the place where they begin, rows of the conversation would be taken for options.
        listed = rule.dialog == MENU and not rule.options and match.groupdict().get("options") is not None
        return _of_a_menu(match, start) if listed else Offered(rule.options)
    rows = list(islice(re.compile(rule.option_pattern, re.MULTILINE).finditer(match.string, start), MAX_OPTIONS))
    known = {option.label: option.id for option in rule.options}
    ids = [known.get(row["label"].strip(), "") for row in rows]
    count = Counter(ids)
    ids = [id if id and count[id] == 1 else f"option{number}" for number, id in enumerate(ids, 1)]
    groups = [row.groupdict() for row in rows]
    return Offered(
        tuple(
            DialogOption(id, row["label"].strip()[:_MAX_LABEL], default=bool(row.get("default")))
            for id, row in zip(ids, groups, strict=True)
        ),
        {id: row["key"] for id, row in zip(ids, groups, strict=True) if row.get("key")},
    )


def _of_a_menu(match: re.Match[str], start: int) -> Offered:
    found = marked_list(match.string, start, match.end())
    if found is None:
        return Offered(())
    options = tuple(
        DialogOption(f"option{number + 1}", label[:_MAX_LABEL], default=number == found.marked)
        for number, label in enumerate(found.labels)
    )
    return Offered(options, question=found.question)
