"""A prompt's text is on disk for as long as it is needed, and no longer."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from meshd_core.testing.daemon import DaemonProcess


def stored(folder: Path) -> str:
    """All receipts of the node, as they are on disk now."""
    with sqlite3.connect(f"file:{folder / 'state' / 'receipts.db'}?mode=ro", uri=True) as found:
        return "\n".join(body.decode() for (body,) in found.execute("SELECT body FROM receipts"))


@pytest.mark.parametrize(
    ("submit", "stage"), [(True, "entered"), (False, "written")], ids=["no proof after Enter", "no Enter"]
)
def test_a_prompt_that_goes_as_far_as_can_be_proven_leaves_no_text(
    make_daemon: Any, short_tmp: Path, submit: bool, stage: str
) -> None:
    daemon: DaemonProcess = make_daemon('[[slots]]\nname = "cat"\nkind = "generic"\ncommand = ["cat"]\n')
    receipt = daemon.inject("cat", "words-of-mine", submit=submit)
    assert (receipt.stage, receipt.capped) == (stage, True)
    assert receipt.id in stored(short_tmp)
    assert "words-of-mine" not in stored(short_tmp)
