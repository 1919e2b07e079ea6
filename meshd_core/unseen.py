"""What of a text is seen: two renderings of one text differ in blanks, line breaks and characters without a width."""

import re

# Blanks; soft hyphen, joiners, marks of direction, selectors, tags: by Unicode's Default_Ignorable_Code_Point.
INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff"
)
"""Characters that take no room, as the inside of a regular expression's set."""
_UNSEEN = re.compile(rf"[\s{INVISIBLE}]+")


def squeeze(text: str) -> str:
    """`text` without blanks and invisible characters; what is left is in every rendering of it."""
    return _UNSEEN.sub("", text)
