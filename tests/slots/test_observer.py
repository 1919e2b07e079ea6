"""What time alone brings about: a question whose words don't come is told all the same."""

from meshd_core.contracts.kinds import KindProfile, Observation, Rule
from meshd_core.slots.activity import WORDS_WITHIN_S
from meshd_core.testing.corpus.cast import Cast, CastEvent, Header
from meshd_core.testing.corpus.replay import replay
from meshd_core.testing.corpus.truth import ChannelReport, Truth
from meshd_core.types import Dialog

PROFILE = KindProfile(
    name="x", title="X", commands=("x",), install_hint="", api_complete=True,
    rules=(Rule("asks", "waiting", r"^Permission required", dialog="approval"),),
)  # fmt: skip
ASKED = Observation("api", "events", "waiting", dialog_kind="approval", question="Allow bash?", command="rm x")
DRAWN_AT = 1.0


def dialogs(*channel: ChannelReport) -> list[tuple[float, Dialog]]:
    """Each dialog that is told, with the time of its first telling; the screen shows one, without words."""
    cast = Cast(Header(80, 24), (CastEvent(DRAWN_AT, "o", "Permission required\r\n"),))
    truth = Truth("x", "1", "ask", 80, 24, "", (), (), (), channel, ends=5.0)
    timeline = replay(cast, truth, PROFILE, "1").timeline
    assert next(moment.at for moment in timeline if moment.state == "waiting") < DRAWN_AT + 0.2
    first: dict[str, tuple[float, Dialog]] = {}
    for moment in timeline:
        if moment.dialog is not None:
            first.setdefault(moment.dialog.id, (moment.at, moment.dialog))
    return list(first.values())


def test_a_question_that_the_screen_shows_first_opens_with_the_words_of_the_api() -> None:
    [(at, dialog)] = dialogs(ChannelReport(DRAWN_AT + 0.5, ASKED))
    assert at == DRAWN_AT + 0.5
    assert (dialog.question, dialog.command) == ("Allow bash?", "rm x")


def test_a_question_is_told_soon_if_the_api_is_away() -> None:
    """Also if the sum of the times is rounded: this once waited for nothing, for ever."""
    [(at, dialog)] = dialogs()
    assert at < DRAWN_AT + WORDS_WITHIN_S + 0.1
    assert (dialog.kind, dialog.question) == ("approval", "")


def test_words_that_come_after_that_are_another_dialog() -> None:
    (_, without), (at, dialog) = dialogs(ChannelReport(DRAWN_AT + 2, ASKED))
    assert (without.question, dialog.question, at) == ("", "Allow bash?", DRAWN_AT + 2)
