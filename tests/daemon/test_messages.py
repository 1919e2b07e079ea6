"""`GET /messages/{slot}` of a real daemon: from an agent's own records, and without them."""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from meshd_core.testing.daemon import DaemonProcess, HttpFailure
from meshd_core.types import MessagePage, Receipt

KINDS = """
import asyncio, time
from meshd_core.api import (
    AgentKind, AgentSession, Conversation, ConversationBuilder, FilterStream, OutputFilter, hookimpl,
)
from meshd_core.testing.demo_kind import PROFILE
import msgspec

SECRET = "secret-word"

class Session(AgentSession):
    def __init__(self, slot):
        self.slot = slot
    async def messages(self):
        if self.slot == "raises":
            raise RuntimeError("secret-word leaked by an error")
        if self.slot == "hangs":
            await asyncio.to_thread(time.sleep, 12)
        if self.slot == "empty":
            return Conversation(warning="the agent has no session log yet")
        build = ConversationBuilder()
        for number in range(120):
            build.user(f"m{number}", f"prompt {number}" + "x" * (30000 if number < 60 else 0), 1_795_000_000_000)
        build.call("call", "Write", {"file": "a", "text": "the secret-word\\nis here"}, 0)
        build.result("call", "done", "secret-word")
        # The text is cut within the second secret.
        build.agent("long", "y" * (65536 - 20) + " secret-word secret-word " + "z" * 70000, 0)
        return Conversation(build.messages(), warning="a remark")

class Told(AgentKind):
    profile = msgspec.structs.replace(PROFILE, name="told")
    def session(self, run):
        return Session(run.slot)

class Hide(OutputFilter):
    name = "hide"
    def block(self, text):
        return text.replace(SECRET, "[hidden]")
    def open(self, slot):
        class Stream(FilterStream):
            def feed(self, line):
                return (line.replace(SECRET, "[hidden]"),)
        return Stream()

class Failing(OutputFilter):
    name = "failing"
    def block(self, text):
        raise RuntimeError("broken")

@hookimpl
def meshd_agent_kinds(ctx):
    return [Told()]

@hookimpl
def meshd_output_filters(ctx):
    return [Hide(), Failing()]
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaemonProcess]:
    folder = tmp_path_factory.mktemp("m")
    site = folder / "site"
    info = site / "teller-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "teller.py").write_text(KINDS)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: teller\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[meshd_core.v1]\nteller = teller\n")
    slots = [("demo", "demo", ["hide"]), ("hidden", "demo", ["hide", "failing"])]
    slots += [(name, "demo", []) for name in ("other", "lines")]
    slots += [(name, "told", ["hide"]) for name in ("told", "raises", "hangs", "empty")]
    slots += [("withheld", "told", ["failing"])]
    toml = "".join(f'[[slots]]\nname = "{n}"\nkind = "{kind}"\nfilters = {json.dumps(f)}\n' for n, kind, f in slots)
    with DaemonProcess(folder, toml, {"PYTHONPATH": str(site)}) as daemon:
        for name, _, _ in slots:
            daemon.wait_for(name, "idle")
        yield daemon


def page(daemon: DaemonProcess, slot: str, query: str = "") -> MessagePage:
    return daemon.get(f"/messages/{slot}{query}", MessagePage)


def test_without_records_there_are_the_injected_prompts_their_replies_and_the_lines_between(
    daemon: DaemonProcess,
) -> None:
    first = page(daemon, "demo")
    assert (first.source, first.warning) == ("screen", None)
    assert [(one.role, one.source, one.text) for one in first.messages] == [("agent", "screen", first.messages[0].text)]
    assert first.messages[0].text.startswith("demo agent ready")
    receipt = daemon.inject("demo", "tell the secret-word")
    daemon.call("POST", "/keys/demo", {"keys": [*"by-hand", "Enter"]})
    deadline = time.monotonic() + 10
    while "echo: by-hand" not in daemon.lines("demo"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    found = page(daemon, "demo")
    assert found.source == "inject"
    assert [(one.role, one.source, one.text) for one in found.messages] == [
        ("agent", "screen", first.messages[0].text),
        ("user", "inject", "tell the [hidden]"),
        ("agent", "inject", "echo: tell the [hidden]"),
        ("agent", "screen", found.messages[-1].text),
    ]
    assert "by-hand" in found.messages[-1].text.split("\n")[0]
    assert "tell" not in found.messages[-1].text
    assert [one.receipt for one in found.messages] == [None, receipt.id, None, None]
    assert [one.id for one in first.messages] == [found.messages[0].id]


def test_the_page_says_how_to_get_the_older_ones(daemon: DaemonProcess) -> None:
    newest = page(daemon, "told", "?limit=30")
    assert [one.id for one in newest.messages[-3:]] == ["m119", "call", "long"]
    assert len(newest.messages) == 30
    assert newest.before == "m92"
    before = page(daemon, "told", f"?limit=30&before={newest.before}")
    assert [one.id for one in before.messages] == [f"m{n}" for n in range(62, 92)]
    # 60 texts of 30 kB: a page ends at 1 MiB.
    older = page(daemon, "told", f"?limit=500&before={before.before}")
    assert 30 < len(older.messages) < 40
    rest = page(daemon, "told", f"?limit=500&before={older.before}")
    assert [one.id for one in [*rest.messages, *older.messages]] == [f"m{n}" for n in range(62)]
    assert rest.before is None
    assert page(daemon, "told", "?before=m0").messages == []


def test_every_text_is_filtered_also_where_it_is_cut(daemon: DaemonProcess) -> None:
    body = daemon.call("GET", "/messages/told?limit=500")
    assert b"secret" not in body
    call, long = page(daemon, "told").messages[-2:]
    assert call.tool is not None
    assert (call.tool.command, call.text) == ("file: a\ntext: the [hidden]\nis here", "[hidden]")
    assert (long.cut, call.cut) == (True, False)
    assert 65_000 < len(long.text) <= 65_536
    assert " [hidden] [hid" in long.text


@pytest.mark.parametrize("slot", ["withheld", "hidden"])
def test_a_filter_that_fails_withholds_every_text(daemon: DaemonProcess, slot: str) -> None:
    if slot == "hidden":
        daemon.inject(slot, "tell the secret-word")
    body = daemon.call("GET", f"/messages/{slot}")
    found = json.loads(body)["messages"]
    texts = {one["text"] for one in found} | {one["tool"]["command"] for one in found if one["tool"]}
    assert "[output withheld: filter 'failing' failed]" in texts
    assert all(text.startswith("[output withheld: ") for text in texts)
    for leak in (b"prompt", b"secret", b"here", b"yyy", b"Write"):
        assert leak not in body


@pytest.mark.parametrize(
    ("slot", "reason"),
    [
        ("raises", "the agent's own log could not be read"),
        ("hangs", "the agent's own log could not be read in time"),
        ("empty", "the agent has no session log yet"),
    ],
)
def test_what_is_shown_instead_of_a_log_that_fails_is_said(daemon: DaemonProcess, slot: str, reason: str) -> None:
    daemon.inject(slot, "hello")
    begun = time.monotonic()
    found = page(daemon, slot)
    assert time.monotonic() - begun < 8
    assert found.source == "inject"
    assert found.warning == f"{reason}; the injected prompts and the terminal's lines are shown instead"
    assert [one.text for one in found.messages[-2:]] == ["hello", "echo: hello"]
    assert "leaked" not in found.warning


def test_a_log_that_hangs_costs_the_daemon_nothing_but_that_slots_answer(daemon: DaemonProcess) -> None:
    daemon.exchange("GET", "/messages/hangs")
    begun = time.monotonic()
    assert page(daemon, "told", "?limit=1").messages
    assert daemon.inject("other", "still there").reply == "echo: still there"
    assert time.monotonic() - begun < 5


def test_after_a_crash_of_the_daemon_the_lines_are_still_there(daemon: DaemonProcess) -> None:
    daemon.inject("other", "before the crash")
    daemon.kill()
    daemon.start()
    daemon.wait_for("other", "idle")
    found = page(daemon, "other")
    assert found.source == "screen"
    assert "echo: before the crash" in found.messages[-1].text


def test_lines_keep_their_id_while_more_come_and_after_they_became_a_reply(daemon: DaemonProcess) -> None:
    """9,000 lines are more than a page is made of: the first of them have left it."""
    working = daemon.inject("lines", "lines 30 10", until="submitted")
    deadline = time.monotonic() + 20
    while page(daemon, "lines").messages[-1].source != "screen":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    early = page(daemon, "lines").messages[-1]
    while daemon.get(f"/injects/{working.id}", Receipt).stage != "completed":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert early.id not in [one.id for one in page(daemon, "lines").messages]
    assert [one.receipt for one in page(daemon, "lines", f"?before={early.id}").messages] == [None, working.id]
    ids: list[list[str]] = []
    for end in ("one", "two"):
        daemon.call("POST", "/keys/lines", {"keys": [*"lines", "Space", *"9000", "Space", "0", "Enter", *end, "Enter"]})
        while f"echo: {end}" not in daemon.lines("lines"):
            assert time.monotonic() < deadline + 30
            time.sleep(0.05)
        ids.append([one.id for one in page(daemon, "lines").messages])
        assert page(daemon, "lines").messages[-1].text.startswith("line ")
    assert len(ids[0]) == 4 or ids[0][0] == working.id
    assert ids[0][-1] == ids[1][-1]
    older = page(daemon, "lines", f"?before={ids[0][-1]}").messages
    assert older[-1].id == f"{working.id}.reply"
    daemon.call("POST", "/restart/lines", {})
    daemon.wait_for("lines", "idle")
    with pytest.raises(HttpFailure) as failure:
        page(daemon, "lines", f"?before={early.id}")
    assert failure.value.code == "invalid_field"


def test_a_new_run_begins_a_new_conversation_and_a_slot_that_does_not_run_has_none(daemon: DaemonProcess) -> None:
    daemon.inject("other", "of the run before")
    daemon.call("POST", "/stop/other", {})
    with pytest.raises(HttpFailure) as failure:
        page(daemon, "other")
    assert (failure.value.status, failure.value.code) == (409, "slot_not_running")
    daemon.call("POST", "/start/other", {})
    daemon.wait_for("other", "idle")
    assert "of the run before" not in daemon.call("GET", "/messages/other").decode()


@pytest.mark.parametrize("query", ["?limit=0", "?limit=501", "?before=nope", "?since=x", "?before="])
def test_a_query_that_makes_no_sense_is_told(daemon: DaemonProcess, query: str) -> None:
    with pytest.raises(HttpFailure) as failure:
        page(daemon, "told", query)
    assert (failure.value.status, failure.value.code) == (422, "invalid_field")


def test_a_prompt_of_which_no_more_can_be_proven_than_that_it_was_written_is_shown(make_daemon: Any) -> None:
    daemon: DaemonProcess = make_daemon('[[slots]]\nname = "cat"\nkind = "generic"\ncommand = ["cat"]\n')
    receipt = daemon.inject("cat", "words of mine")
    assert receipt.capped
    prompts = [one for one in page(daemon, "cat").messages if one.role == "user"]
    assert [(one.text, one.receipt) for one in prompts] == [("words of mine", receipt.id)]
