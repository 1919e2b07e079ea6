"""What stands in the agent's input box, as far as its kind's pattern shows it."""

import asyncio
import re
from collections.abc import Callable

from meshd_core.contracts.kinds import SubmitRecipe
from meshd_core.unseen import squeeze

_POLL_S = 0.02
_STANDS_S = 0.2
"""A draft is there for this long: what is seen for a moment is drawn over, as the prompt before."""
_DRAWN_S = 1.0
"""How long an agent may take to draw what was typed."""
_ARRIVES_S = 5.0
"""How long it may take on a busy machine, before it counts as gone elsewhere."""
_WHOLE = 40
"""Characters up to which the box shows all of a text; of a longer one it may show either end, or a label."""

_LABEL = "[Pasted"
"""How the label begins that stands for a long paste."""


class InputBox:
    """Reads the box by the recipe that `recipe()` gives, on the screen that `screen()` gives."""

    def __init__(self, recipe: Callable[[], SubmitRecipe], screen: Callable[[], str]) -> None:
        self._recipe, self._screen = recipe, screen

    def text(self) -> str | None:
        """What it holds, without blanks; None if no box is seen."""
        recipe = self._recipe()
        if recipe.input_box is None:
            return None
        matches = list(re.finditer(recipe.input_box, self._screen(), re.MULTILINE | re.DOTALL))
        held: str | None = matches[-1].group(1) if matches else None
        if held is None:
            return None
        if recipe.input_noise is not None:
            held = re.sub(recipe.input_noise, "", held, flags=re.MULTILINE)
        return squeeze(held)

    def shows(self, text: str) -> bool:
        """Whether it shows `text`: all of a short one, the beginning or the end of a long one, or a paste's label."""
        shown, ours = self.text(), squeeze(text)
        if not shown or not ours:
            return False
        if len(ours) <= _WHOLE:
            return shown == ours if self._recipe().sees_drafts else ours in shown
        return ours[:_WHOLE] in shown or ours[-_WHOLE:] in shown or _LABEL in shown

    @property
    def draft(self) -> bool:
        """Whether a text may stand in it: also if it can't be seen, as a long one hides it."""
        return self._recipe().sees_drafts and self.text() != ""

    async def holds_draft(self) -> bool:
        """Whether a text may stand in it, and not only for a moment."""
        for _ in range(round(_STANDS_S / _POLL_S)):
            if not self.draft:
                return False
            await asyncio.sleep(_POLL_S)
        return self.draft

    async def seen(self) -> bool:
        """Wait until it is on the screen, which may just be drawn anew; False if it isn't in time. True of a kind
        whose box needn't be seen.
        """
        return not self._recipe().sees_drafts or await self._becomes(lambda text: text is not None)

    async def fills(self, within_s: float | None = None) -> bool:
        """Wait until a text is seen in it; False if none is in time."""
        return await self._becomes(bool, within_s)

    async def stays_empty(self) -> bool:
        """Whether it is seen, and nothing of what was typed comes into it: something else takes the keys."""
        return self._recipe().sees_drafts and self.text() == "" and not await self.fills(_ARRIVES_S)

    async def holds_more(self, part: str, text: str) -> bool:
        """Wait until `part`, which has no blanks, is seen in it more often than it is in `text`, or a second paste's
        label; False if neither is in time.
        """
        ours = squeeze(text)
        most = ((part, ours.count(part)), (_LABEL, max(1, ours.count(_LABEL))))
        return await self._becomes(lambda shown: any((shown or "").count(each) > times for each, times in most))

    async def empties(self) -> bool:
        """Wait until it is seen empty; False if it isn't in time."""
        return await self._becomes(lambda text: text == "")

    async def _becomes(self, wanted: Callable[[str | None], bool], within_s: float | None = None) -> bool:
        within_s = _DRAWN_S if within_s is None else within_s
        for _ in range(round(within_s / _POLL_S) if self._recipe().sees_drafts else 0):
            if wanted(self.text()):
                return True
            await asyncio.sleep(_POLL_S)
        return False
