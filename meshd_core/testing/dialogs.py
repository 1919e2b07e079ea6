"""What a kind's rules make of a screen with a question on it."""

from meshd_core.contracts.kinds import KindProfile
from meshd_core.slots.activity import ActivityTracker


def offered(profile: KindProfile, screen: str) -> list[tuple[str, str, bool, str | None]]:
    """The options of the dialog on `screen`: id, label, whether it is the default, and the key that its row names."""
    tracker = ActivityTracker(profile, lambda: None)
    tracker.look(screen, "")
    assert tracker.dialog is not None, screen
    keys = tracker.option_keys
    return [(one.id, one.label, one.default, keys.get(one.id)) for one in tracker.dialog.options]
