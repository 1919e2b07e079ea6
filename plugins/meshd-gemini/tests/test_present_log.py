"""Gemini CLI goes on in another log after /clear and /resume: never in that of another one in the same folder."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
from meshd_gemini.present_log import Entries
from meshd_gemini.session import SESSION_ID, GeminiSession

from meshd_core.api import Turn
from meshd_core.clock import rfc3339

T0 = 1_795_000_000_000
OURS, NEW, OTHER = (f"{letter * 8}-0000-4000-8000-000000000000" for letter in "abc")


class Project:
    """The folder of a project, as 0.61.0 writes it."""

    def __init__(self, home: Path) -> None:
        self.home, self.folder = home, home / "tmp" / "project"
        self._chats = self.folder / "chats"
        self._chats.mkdir(parents=True)
        self._entered: list[dict[str, Any]] = []

    def enter(self, text: str, at_ms: int, session: str = OURS) -> None:
        self._entered.append(
            {"sessionId": session, "messageId": 0, "type": "user", "message": text, "timestamp": rfc3339(at_ms)}
        )
        (self.folder / "logs.json").write_text(json.dumps(self._entered, indent=2))

    def begin(self, session: str, at_ms: int) -> None:
        self._write(session, {"sessionId": session, "startTime": rfc3339(at_ms), "kind": "main"})
        context = [{"id": "c", "type": "user", "content": [{"text": "<session_context>\nThis is"}]}]
        self._write(session, {"$set": {"messages": context}})

    def say(self, session: str, prompt: str, at_ms: int, answer: str = "yes", files: str = "") -> None:
        asked = {"id": f"p{at_ms}", "timestamp": rfc3339(at_ms), "type": "user", "content": [{"text": prompt}]}
        if files:
            asked["displayContent"] = asked["content"]
            asked["content"] = [*asked["content"], {"text": "\n--- Content from referenced files ---"}, {"text": files}]
        self._write(session, asked)
        self._write(session, {"id": f"a{at_ms}", "timestamp": rfc3339(at_ms + 9), "type": "gemini", "content": answer})

    def _write(self, session: str, record: dict[str, Any]) -> None:
        path = self._chats / f"session-2026-11-18T00-00-{session[:8]}.jsonl"
        with path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        os.utime(path, (T0 / 1000 + 10, T0 / 1000 + 10))

    def session(self) -> GeminiSession:
        return GeminiSession(self.home, OURS, None, T0)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.begin(OURS, T0)
    made.enter("before", T0 + 1000)
    made.say(OURS, "before", T0 + 1001)
    return made


def said(session: GeminiSession) -> tuple[list[str], bool]:
    """All texts, and whether there is a warning."""
    found = asyncio.run(session.messages())
    assert found is not None
    return [one.text for one in found.messages], found.warning is not None


def test_the_log_that_clear_began_is_the_conversation_from_then_on(project: Project) -> None:
    session = project.session()
    assert said(session) == (["before", "yes"], False)
    project.enter("/clear", T0 + 5000)
    project.begin(NEW, T0 + 5010)
    assert said(session) == ([], False)
    project.enter("after", T0 + 8000)
    project.say(NEW, "after", T0 + 8001, "indeed")
    assert said(session) == (["after", "indeed"], False)
    assert asyncio.run(session.reply(Turn("after", T0 + 7990))) == "indeed"
    assert session.resume_meta() == {SESSION_ID: NEW}


def test_another_one_that_begins_meanwhile_is_not_taken_for_ours(project: Project) -> None:
    project.enter("/clear", T0 + 5000)
    project.begin(OTHER, T0 + 5005)
    project.begin(NEW, T0 + 5010)
    assert said(project.session()) == (["before", "yes"], True)
    project.enter("theirs", T0 + 6000, OTHER)
    project.say(OTHER, "theirs", T0 + 6001)
    project.enter("after", T0 + 8000)
    assert said(project.session()) == (["before", "yes"], True)
    project.say(NEW, "after", T0 + 8001)
    assert said(project.session()) == (["after", "yes"], False)


def test_the_clear_of_another_one_changes_nothing(project: Project) -> None:
    project.begin(OTHER, T0 + 2000)
    project.enter("/clear", T0 + 5000, OTHER)
    project.begin(NEW, T0 + 5010)
    assert said(project.session()) == (["before", "yes"], True)
    assert project.session().resume_meta() == {SESSION_ID: OURS}


def test_the_same_prompt_at_the_same_time_in_both_tells_nothing(project: Project) -> None:
    project.enter("/clear", T0 + 5000)
    for session in (NEW, OTHER):
        project.begin(session, T0 + 5010)
        project.say(session, "after", T0 + 8001)
    project.enter("after", T0 + 8000)
    assert said(project.session()) == (["before", "yes"], True)


def test_of_several_clears_the_last_counts_and_one_of_an_earlier_run_does_not(project: Project) -> None:
    project.enter("/clear", T0 - 100_000)
    project.begin(OTHER, T0 - 99_990)
    assert said(project.session()) == (["before", "yes"], False)
    project.enter("/new", T0 + 5000)
    project.begin(NEW, T0 + 5010)
    last = NEW.replace("b", "d")
    project.enter("/clear", T0 + 6000)
    project.begin(last, T0 + 6010)
    project.enter("after", T0 + 7000)
    project.say(last, "after", T0 + 7001)
    assert said(project.session()) == (["after", "yes"], False)


def test_a_mention_is_what_was_entered_before_and_behind_it(project: Project) -> None:
    project.enter("/clear", T0 + 5000)
    project.begin(OTHER, T0 + 5005)
    project.begin(NEW, T0 + 5010)
    project.say(OTHER, "theirs, of the same moment", T0 + 8001)
    project.enter("look at @notes and @folder/, then go on", T0 + 8000)
    project.say(NEW, "look at @notes.txt and @folder/**, then go on", T0 + 8001)
    assert said(project.session()) == (["look at @notes.txt and @folder/**, then go on", "yes"], False)


def test_what_is_mentioned_is_no_part_of_the_prompt(project: Project) -> None:
    project.enter("/clear", T0 + 5000)
    project.begin(NEW, T0 + 5010)
    project.enter("look at @notes", T0 + 8000)
    project.say(NEW, "look at @notes.txt", T0 + 8001, files="the notes")
    session = project.session()
    assert said(session) == (["look at @notes.txt", "yes"], False)
    assert session.resume_meta() == {SESSION_ID: NEW}


def test_the_log_that_has_what_was_said_since_a_resume_is_the_conversation(project: Project) -> None:
    old = OTHER.replace("c", "d")
    project.begin(old, T0 - 90_000)
    project.say(old, "long ago", T0 - 80_000)
    session = project.session()
    project.enter("/clear", T0 + 2000)
    project.begin(NEW, T0 + 2010)
    project.enter("after", T0 + 3000)
    project.say(NEW, "after", T0 + 3001)
    project.enter("/resume", T0 + 5000)
    assert said(session) == (["after", "yes"], False)  # nobody knows what was taken up
    assert session.resume_meta() == {SESSION_ID: NEW}
    project.enter("what was it?", T0 + 8000)
    project.say(old, "what was it?", T0 + 8001, "this")
    assert asyncio.run(session.reply(Turn("what was it?", T0 + 7990))) == "this"
    assert said(session) == (["long ago", "yes", "what was it?", "this"], False)
    assert session.resume_meta() == {SESSION_ID: old}
    project.enter("/resume", T0 + 9000)
    project.enter("again", T0 + 9900)
    project.say(OURS, "again", T0 + 9901)
    assert said(session)[0] == ["before", "yes", "again", "yes"]
    assert session.resume_meta() == {SESSION_ID: OURS}


def test_a_list_of_what_was_entered_that_is_just_being_written_changes_nothing(project: Project) -> None:
    project.enter("/clear", T0 + 5000)
    project.begin(NEW, T0 + 5010)
    session = project.session()
    assert said(session) == ([], False)
    (project.folder / "logs.json").write_text("[")
    assert said(session) == ([], False)


def test_what_was_entered_is_read_again_only_once_it_has_changed(project: Project) -> None:
    entries = Entries(OURS, T0)
    chats = project.folder / "chats"
    first = entries.read(chats)
    assert [one.message for one in first] == ["before"]
    assert entries.read(chats) is first
    project.enter("more", T0 + 5000)
    assert [one.message for one in entries.read(chats)] == ["before", "more"]
