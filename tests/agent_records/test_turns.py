"""Waiting for an answer in an agent's own records."""

from collections.abc import Iterator

import pytest

from meshd_core.agent_records.turns import Answer, wait_for_reply

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshd_core.agent_records.turns.REPLY_WAIT_S", 0.2)


@pytest.mark.parametrize(
    ("answers", "reply"),
    [
        ([None, Answer("half", False), Answer("whole", True), Answer("more", True)], "whole"),
        ([Answer("", False), Answer("", True)], ""),
        ([Answer("half", False)], "half"),
        ([Answer("", False)], None),
        ([None], None),
    ],
    ids=["ended", "said nothing", "not ended in time", "nothing yet", "not there"],
)
async def test_the_text_is_that_of_the_end_and_an_answer_of_nothing_is_one(
    answers: list[Answer | None], reply: str | None
) -> None:
    coming: Iterator[Answer | None] = iter(answers)

    async def find() -> Answer | None:
        return next(coming, answers[-1])

    assert await wait_for_reply(find) == reply
