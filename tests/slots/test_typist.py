"""What a prompt does to a text that stands in the input box, and what it says of its own end."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from meshd_core.contracts.kinds import KindProfile, Turn
from meshd_core.slots.typist import DraftStands, NotNow, TypingInDoubt, Typist
from meshd_core.types import InjectRequest, Stage
from tests.slots.boxed_agent import PROFILE, BoxedAgent, entry, moved, no_records, queue_of

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("short_waits")]
BLIND = replace(PROFILE, submit=replace(PROFILE.submit, sees_drafts=False))


async def _not_finished(turn: Turn) -> bool:
    return False


def typist(agent: BoxedAgent) -> Typist:
    return Typist(agent, PROFILE, moved, no_records)


async def test_a_draft_that_is_too_long_to_be_seen_is_cleared_whole() -> None:
    agent = BoxedAgent("x" * 4000)
    one = entry()
    await typist(agent).type(one)
    assert agent.prompts == ["a prompt"]
    assert one.changes == ("draft_cleared",)


@pytest.mark.parametrize("draft", ["x" * 4000, "x" * 20], ids=["never seen", "seen"])
async def test_nothing_is_typed_over_a_draft_that_keys_do_not_remove(draft: str) -> None:
    agent = BoxedAgent(draft, clears=1)
    one, by = entry(), typist(agent)
    with pytest.raises(DraftStands):
        await by.type(one)
    assert set(agent.written) == {"\x15"}
    assert one.changes == ("draft_cleared",)
    assert by.obstacle == ("input_unseen" if len(draft) > 400 else "person")
    agent.text = ""
    assert by.obstacle is None


async def test_keys_that_come_while_a_draft_is_cleared_are_not_erased() -> None:
    agent = BoxedAgent("x" * 20, clears=4)

    def press(written: str) -> None:
        agent.keys_written += 1
        agent.text += "of a person"

    agent.after = press
    with pytest.raises(NotNow):
        await typist(agent).type(entry())
    assert (agent.written, agent.text) == (["\x15"], "x" * 16 + "of a person")


async def test_enter_is_not_pressed_where_no_input_box_is_seen() -> None:
    agent = BoxedAgent()

    def hide(written: str) -> None:
        agent.hides = True

    agent.after = hide
    with pytest.raises(TypingInDoubt) as doubt:
        await typist(agent).type(entry())
    assert doubt.value.error.code == "box_not_seen"
    assert "\r" not in agent.written


async def test_enter_is_not_pressed_where_the_text_went_somewhere_else(tmp_path: Path) -> None:
    agent = BoxedAgent()
    agent.deaf = True
    async with queue_of(agent, tmp_path) as (queue, _):
        receipt = await queue.wait(queue.accept(InjectRequest(text="a prompt"), "p", None), "completed", 20)
        assert receipt.error is not None
        assert (receipt.stage, receipt.error.code, "\r" in agent.written) == ("failed", "text_not_seen", False)
        agent.deaf = False
        after = await queue.wait(queue.accept(InjectRequest(text="another"), "p", None), "submitted", 20)
    assert ("submitted" in after.stages, agent.prompts) == (True, ["another"])


async def test_what_is_being_typed_goes_on_by_the_profile_that_it_began_with() -> None:
    agent = BoxedAgent()
    by = typist(agent)
    other: KindProfile = replace(PROFILE, submit=replace(PROFILE.submit, enter="other"))

    def change(written: str) -> None:
        by.profile = other

    agent.after = change
    await by.type(entry())
    assert agent.written[-1] == "\r"
    with pytest.raises(TypingInDoubt):
        await by.type(entry())
    assert agent.written[-1] == "other"


@pytest.mark.parametrize(("takes", "code"), [(True, "no_sign_of_work"), (False, "not_confirmed")])
async def test_a_prompt_without_a_sign_of_work_may_still_happen(tmp_path: Path, takes: bool, code: str) -> None:
    """Also one that still stands in the box: an agent that is slow to read takes it later."""
    agent = BoxedAgent()
    agent.works, agent.takes = False, takes
    async with queue_of(agent, tmp_path) as (queue, _):
        receipt = await queue.wait(queue.accept(InjectRequest(text="a prompt"), "p", None), "completed", 20)
    assert receipt.error is not None
    assert (receipt.stage, receipt.error.code) == ("unknown", code)


@pytest.mark.parametrize(
    ("takes", "opens", "outcome"),
    [
        (True, False, ("entered", True, None)),
        (True, True, ("failed", False, "menu_opened")),
        (False, False, ("unknown", False, "not_confirmed")),
    ],
    ids=["it does what it does", "it opens a menu", "it stands in the box"],
)
async def test_a_command_that_begins_no_turn_is_not_called_completed_and_not_failed_if_it_was_taken(
    tmp_path: Path, takes: bool, opens: bool, outcome: tuple[Stage, bool, str | None]
) -> None:
    agent = BoxedAgent()
    agent.works, agent.takes = False, takes

    def open_menu(written: str) -> None:
        agent.dialog_open = opens and written == "\r"

    agent.after = open_menu
    async with queue_of(agent, tmp_path) as (queue, _):
        receipt = await queue.wait(queue.accept(InjectRequest(text="/clear"), "p", None), "completed", 20)
    assert (receipt.stage, receipt.capped, receipt.error and receipt.error.code) == outcome


@pytest.mark.parametrize(
    ("text", "began", "outcome"),
    [
        ("/new", False, ("entered", True)),
        ("/compact", True, ("submitted", False)),
        ("/compact", None, ("submitted", False)),
        ("a prompt", False, ("submitted", False)),
    ],
)
async def test_work_after_a_command_counts_unless_the_agents_records_have_no_turn_of_it(
    text: str, began: bool | None, outcome: tuple[Stage, bool]
) -> None:
    async def of_records(turn: Turn) -> bool | None:
        return began

    one = entry()
    one.text = text
    await Typist(BoxedAgent(), PROFILE, moved, no_records, of_records).type(one)
    assert (one.stage, one.capped) == outcome


async def test_a_text_that_comes_into_the_box_late_is_not_submitted_with_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meshd_core.slots.input_box._ARRIVES_S", 0.2)
    agent = BoxedAgent()
    agent.frozen = True

    def wake(written: str) -> None:
        if "the second" in written:
            agent.frozen = False
            agent.read()

    agent.after = wake
    async with queue_of(agent, tmp_path) as (queue, _):
        texts = ("the first", "the second", "the third")
        entries = [queue.accept(InjectRequest(text=text), "p", None) for text in texts]
        receipts = [await queue.wait(one, "submitted", 20) for one in entries]
    codes = [(one.stage, one.error and one.error.code) for one in receipts]
    assert codes[:2] == [("failed", "text_not_seen"), ("failed", "text_not_seen")]
    assert agent.prompts == ["the third"]


@pytest.mark.parametrize("text", ["a prompt", "a prompt of many words " * 8], ids=["short", "long"])
@pytest.mark.parametrize("late", [0, 0.05], ids=["seen at once", "seen one after the other"])
async def test_a_text_that_comes_into_the_box_late_is_not_submitted_with_itself(
    tmp_path: Path, text: str, late: float
) -> None:
    """A prompt that failed so is injected again, and the agent wakes and reads both."""
    agent = BoxedAgent()
    agent.frozen = True
    ours = "\x1b[200~" + text.strip() + "\x1b[201~"

    def wake(written: str) -> None:
        if agent.written.count(ours) == 2 and agent.frozen:
            agent.frozen = False
            agent.read(len(ours) if late else None)
            asyncio.get_running_loop().call_later(late, agent.read)

    agent.after = wake
    async with queue_of(agent, tmp_path) as (queue, _):
        receipts = []
        for _ in range(3):
            one = queue.accept(InjectRequest(text=text.strip()), "p", None)
            receipts.append(await queue.wait(one, "submitted", 20))
    codes = [(one.stage, one.error and one.error.code) for one in receipts]
    assert codes[:2] == [("failed", "text_not_seen"), ("failed", "text_not_seen")]
    assert agent.prompts == [text.strip()]


@pytest.mark.parametrize("text", ["a prompt", "a prompt\nof two rows"])
async def test_a_turn_too_short_to_be_seen_is_proven_by_its_echo_and_what_follows(tmp_path: Path, text: str) -> None:
    agent = BoxedAgent()
    agent.works, agent.says = False, ["", "an answer"]
    async with queue_of(agent, tmp_path, BLIND) as (queue, _):
        receipt = await queue.wait(queue.accept(InjectRequest(text=text), "p", None), "completed", 20)
    assert receipt.stage == "completed"


@pytest.mark.parametrize("says", [[], ["  "]], ids=["nothing", "blanks"])
async def test_an_echo_alone_proves_nothing(says: list[str]) -> None:
    agent = BoxedAgent()
    agent.works, agent.says = False, says
    with pytest.raises(TypingInDoubt):
        await Typist(agent, BLIND, moved, no_records).type(entry())


async def test_where_the_agent_has_records_lines_prove_nothing() -> None:
    agent = BoxedAgent()
    agent.works, agent.says = False, ["an answer"]
    with pytest.raises(TypingInDoubt):
        await Typist(agent, PROFILE, moved, _not_finished).type(entry())


async def test_what_is_said_while_the_prompt_stands_in_the_box_proves_nothing() -> None:
    agent = BoxedAgent()
    agent.works, agent.says = False, ["an answer"]

    def put_back(written: str) -> None:
        if written == "\r":
            agent.text = "a prompt"

    agent.after = put_back
    with pytest.raises(TypingInDoubt):
        await Typist(agent, BLIND, moved, no_records).type(entry())


async def test_the_lines_of_the_turn_before_prove_nothing_of_a_prompt_that_was_steered_into_it() -> None:
    agent = BoxedAgent()
    agent.works, agent.says, agent.at_work = False, ["an answer"], True
    one = entry()
    await Typist(agent, BLIND, moved, no_records).type(one)
    assert (one.stage, one.capped) == ("entered", True)


async def test_what_a_person_wrote_is_not_cleared_before_a_prompt_is_due(tmp_path: Path) -> None:
    agent = BoxedAgent("half a line of a person")
    async with queue_of(agent, tmp_path, draft=True) as (queue, store):
        await asyncio.sleep(0.5)
        assert (agent.written, queue.held) == ([], None)
        receipt = await queue.wait(queue.accept(InjectRequest(text="a prompt"), "p", None), "submitted", 20)
        assert (receipt.changes, agent.prompts) == (("draft_cleared",), ["a prompt"])
        assert agent.written[0] == "\x1b[201~"
        before = store.get("1@n")
        assert before is not None and before.settled


async def test_a_box_that_is_not_seen_holds_the_queue_under_its_own_name_until_it_is_seen_empty(tmp_path: Path) -> None:
    agent = BoxedAgent()
    agent.hides = True
    async with queue_of(agent, tmp_path) as (queue, _):
        one = queue.accept(InjectRequest(text="a prompt"), "p", None)
        async with asyncio.timeout(20):
            while queue.held != "input_unseen":
                await asyncio.sleep(0.02)
        assert queue.explain().blocked_by == ("input_unseen",)
        assert agent.redraws == 1
        agent.hides = False
        await queue.wait(one, "submitted", 20)
    assert agent.prompts == ["a prompt"]


@pytest.mark.parametrize("printed", ["a warning", "> a warning\n--"], ids=["no box", "what looks like a draft"])
async def test_a_screen_that_was_printed_over_is_drawn_anew_once_for_a_prompt(tmp_path: Path, printed: str) -> None:
    agent = BoxedAgent()
    agent.printed_over = printed
    async with queue_of(agent, tmp_path) as (queue, _):
        for text in ("a prompt", "another"):
            receipt = await queue.wait(queue.accept(InjectRequest(text=text), "p", None), "submitted", 20)
            assert receipt.error is None
    assert (agent.prompts, agent.redraws) == (["a prompt", "another"], 1)


async def test_a_screen_that_is_printed_over_between_text_and_enter_is_drawn_anew() -> None:
    agent = BoxedAgent()

    def print_over(written: str) -> None:
        agent.printed_over = "a warning" if "a prompt" in written else ""

    agent.after = print_over
    await Typist(agent, PROFILE, moved, no_records).type(entry())
    assert (agent.prompts, agent.redraws) == (["a prompt"], 1)


async def test_a_box_that_cannot_be_read_is_cleared_when_no_keys_are_being_pressed(tmp_path: Path) -> None:
    agent = BoxedAgent("of before")
    async with queue_of(agent, tmp_path, BLIND, draft=True) as (queue, _):
        async with agent.prompt():
            await asyncio.sleep(0.3)
            assert (agent.written, queue.held) == ([], "paste")
        async with asyncio.timeout(20):
            while queue.held is not None:
                await asyncio.sleep(0.02)
    assert agent.written == ["\x1b[201~", "\x15"]


async def test_what_may_stand_in_a_box_that_cannot_be_read_is_cleared_before_a_prompt() -> None:
    agent = BoxedAgent("half a line of a person")
    agent.unsent = True
    by = Typist(agent, BLIND, moved, no_records)
    for one, changes in ((entry(), ("draft_cleared",)), (entry("another"), ())):
        await by.type(one)
        assert one.changes == changes
    unsent = entry("not submitted")
    unsent.submit = False
    await by.type(unsent)
    await by.type(after := entry("after it"))
    assert after.changes == ("draft_cleared",)
    assert agent.prompts == ["a prompt", "another", "after it"]


async def test_without_keys_that_clear_a_box_that_cannot_be_read_it_is_left_as_it_is() -> None:
    agent = BoxedAgent("half ")
    agent.unsent = True
    blind = replace(BLIND, submit=replace(BLIND.submit, clear=None))
    await Typist(agent, blind, moved, no_records).type(one := entry())
    assert (one.changes, agent.prompts) == ((), ["half a prompt"])


async def test_a_dialog_that_opens_meanwhile_gets_no_clearing_keys(tmp_path: Path) -> None:
    agent = BoxedAgent("of before")

    def ask(written: str) -> None:
        agent.dialog_open = True

    agent.after = ask
    async with queue_of(agent, tmp_path, BLIND, draft=True) as (queue, _):
        async with asyncio.timeout(20):
            while queue.held != "person":
                await asyncio.sleep(0.02)
    assert agent.written == ["\x1b[201~"]
