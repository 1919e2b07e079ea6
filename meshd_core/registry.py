"""The registry: this node's slots by name, in the order of the configuration."""

import difflib
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from meshd_core.errors import SlotNotFound

SlotT = TypeVar("SlotT")


class Registry(Generic[SlotT]):
    """Slots by name. Filled at start and by reloads; a name that isn't there is answered with the nearest one."""

    def __init__(self, node: str) -> None:
        self.node = node
        self._slots: dict[str, SlotT] = {}

    def add(self, name: str, slot: SlotT) -> None:
        """Raises ValueError if the name is taken."""
        if name in self._slots:
            raise ValueError(f"slot {name!r} is there already")
        self._slots[name] = slot

    def remove(self, name: str) -> None:
        """Raises KeyError if there is none."""
        del self._slots[name]

    def reorder(self, names: Sequence[str]) -> None:
        """Put the slots in the order of `names`; those not in it come last."""
        places = {name: place for place, name in enumerate(names)}
        order = sorted(self._slots, key=lambda name: places.get(name, len(places)))
        self._slots = {name: self._slots[name] for name in order}

    def get(self, address: str) -> SlotT:
        """The slot of `name` or `name@<this node>`. Raises SlotNotFound."""
        name, at, node = address.partition("@")
        if (not at or node == self.node) and name in self._slots:
            return self._slots[name]
        nearest = difflib.get_close_matches(name, self._slots, n=1)
        raise SlotNotFound(address, nearest[0] if nearest else None)

    def find(self, name: str) -> SlotT | None:
        return self._slots.get(name)

    def __iter__(self) -> Iterator[SlotT]:
        return iter(self._slots.values())

    def __len__(self) -> int:
        return len(self._slots)
