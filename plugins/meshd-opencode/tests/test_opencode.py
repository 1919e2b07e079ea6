"""OpenCode's kind: how it is launched, and what its HTTP API tells."""

import asyncio
import base64
import json
import re
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from meshd_opencode import session as session_module
from meshd_opencode.http_client import Address, ApiError, get_body
from meshd_opencode.kind import OpenCodeKind
from meshd_opencode.session import OpenCodeSession

from meshd_core.api import LaunchSpec, Observation, Run, ToolUse, Turn

KIND = OpenCodeKind()
T0 = 1_795_000_000_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def spec(**more: object) -> LaunchSpec:
    fields: dict[str, object] = {"command": ("opencode",), "args": (), "env": {}, **more}
    return LaunchSpec(slot="o", node="n", cwd="/", **fields)  # type: ignore[arg-type]


def test_the_version_of_an_npm_package_is_known_before_the_api_tells_it(tmp_path: Path) -> None:
    program = tmp_path / "node_modules/opencode-ai/bin/opencode"
    program.parent.mkdir(parents=True)
    program.write_text("")
    program.chmod(0o755)
    (program.parents[1] / "package.json").write_text('{"name": "opencode-ai", "version": "1.2.3"}')
    launch = KIND.launch(spec(command=(str(program),)))
    run = Run(slot="o", pid=1, started_at_ms=0, cwd="/", env={}, meta=launch.meta)
    assert KIND.session(run).version() == "1.2.3"


def test_a_launch_has_a_port_of_its_own_and_a_password() -> None:
    one, two = KIND.launch(spec(args=("--model", "x/y"))), KIND.launch(spec())
    assert one.argv[:4] == ("opencode", "--hostname", "127.0.0.1", "--port")
    assert one.argv[5:] == ("--model", "x/y")
    assert one.env["OPENCODE_SERVER_PASSWORD"] == one.meta["password"]
    assert one.meta["password"] != two.meta["password"]
    assert one.meta["password"] not in one.argv


def test_a_resume_continues_the_slots_own_conversation() -> None:
    launch = KIND.launch(spec(resume=True, last_meta={"conversation": "ses_1"}))
    assert launch.argv[-2:] == ("--session", "ses_1")
    assert KIND.launch(spec(resume=True, last_meta=launch.meta)).argv[-2:] == ("--session", "ses_1")
    assert "ses_1" not in KIND.launch(spec(resume=True, last_meta=launch.meta, args=("--session", "ses_2"))).argv


def test_a_slot_without_a_conversation_does_not_continue_that_of_somebody_else() -> None:
    assert KIND.launch(spec(resume=True)).argv[:2] == ("opencode", "--hostname")
    assert not {"--continue", "--session"} & set(KIND.launch(spec(resume=True)).argv)


@pytest.mark.parametrize("args", [("--port", "5005"), ("--port=5005",)])
def test_a_port_in_the_slots_arguments_is_used(args: tuple[str, ...]) -> None:
    launch = KIND.launch(spec(args=args, resume=True, env={"OPENCODE_SERVER_PASSWORD": "own"}))
    assert launch.argv == ("opencode", *args)
    assert (launch.meta["port"], launch.meta["password"]) == ("5005", "own")


def test_an_adopted_run_is_resumed_with_the_conversation_that_was_found_out() -> None:
    run = Run("o", 1, 0, "/", {}, {"port": "1", "conversation": "a"}, {"conversation": "b"})
    assert KIND.session(run).resume_meta() == {"conversation": "b"}


def test_a_run_without_our_facts_has_no_channels() -> None:
    run = Run(slot="o", pid=1, started_at_ms=0, cwd="/", env={}, meta={})
    assert not isinstance(KIND.session(run), OpenCodeSession)


class Api:
    """As much of OpenCode's HTTP API as the plugin uses, on a real socket: a person's hand instead of the agent."""

    def __init__(self) -> None:
        self.answers: dict[str, object] = {
            "/session/status": {},
            "/permission": [],
            "/global/health": {"healthy": True, "version": "1.18.33"},
            "/session": [{"id": "ses_1"}],
            "/session/ses_1/message?limit=100": [],
        }
        self.streams: list[asyncio.StreamWriter] = []
        self.posted: list[tuple[str, object]] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        path = head.split(" ")[1]
        if base64.b64encode(b"opencode:secret").decode() not in head:
            writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        elif path == "/event":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            self.streams.append(writer)
            self.event("server.connected")
            return
        elif head.startswith("POST "):
            length = int(head.lower().split("content-length: ")[1].split("\r\n")[0])
            self.posted.append((path, json.loads(await reader.readexactly(length))))
            status = b"200 OK" if path in self.answers else b"404 Not Found"
            writer.write(b"HTTP/1.1 %s\r\nContent-Length: 4\r\n\r\ntrue" % status)
        else:
            body = json.dumps(self.answers[path]).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    def event(self, kind: str, **properties: object) -> None:
        data = f"data: {json.dumps({'id': 'e', 'type': kind, 'properties': properties})}\n\n".encode()
        # In two chunks that cut the event: the client must not care.
        for piece in (data[:9], data[9:]):
            self.streams[-1].write(b"%x\r\n%s\r\n" % (len(piece), piece))

    def status(self, kind: str, session: str = "ses_1", **more: object) -> None:
        self.event("session.status", sessionID=session, status={"type": kind, **more})


@asynccontextmanager
async def running_api() -> AsyncIterator[Api]:
    api = Api()
    server = await asyncio.start_server(api.serve, "127.0.0.1", 0)
    api.port = server.sockets[0].getsockname()[1]
    try:
        yield api
    finally:
        for stream in api.streams:
            stream.close()
        server.close()
        await server.wait_closed()


@asynccontextmanager
async def watching(api: Api) -> AsyncIterator[tuple[OpenCodeSession, asyncio.Queue[Observation]]]:
    session = OpenCodeSession(Address(api.port, "opencode", "secret"))
    seen: asyncio.Queue[Observation] = asyncio.Queue()
    task = asyncio.create_task(session.watch(seen.put_nowait))
    try:
        async with asyncio.timeout(10):
            while session.version() is None:
                await asyncio.sleep(0.01)
            yield session, seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.anyio
async def test_work_permission_and_rest_are_reported_as_they_come() -> None:
    async with running_api() as api, watching(api) as (session, seen):
        api.status("busy")
        assert (await seen.get()).state == "busy"
        asked = {"id": "per_1", "sessionID": "ses_1", "permission": "bash", "metadata": {"command": "touch x"}}
        api.event("permission.asked", **asked, patterns=["touch *"])
        waiting = await seen.get()
        assert (waiting.state, waiting.dialog_kind, waiting.command) == ("waiting", "approval", "touch x")
        api.event("permission.replied", sessionID="ses_1", requestID="per_1", reply="once")
        assert (await seen.get()).state == "busy"
        api.status("retry", attempt=1, message="Internal server error", next=T0)
        assert (await seen.get()).state == "busy"
        api.status("retry", attempt=2, message="Rate limit reached for the model", next=T0)
        limited = await seen.get()
        assert (limited.state, limited.until) == ("limited", "2026-11-18T11:06:40.000Z")
        api.status("idle")
        assert (await seen.get()).state == "idle"
        assert session.version() == "1.18.33"


@pytest.mark.anyio
async def test_a_permission_is_answered_by_its_id_whatever_the_terminal_has_marked() -> None:
    async with running_api() as api, watching(api) as (session, seen):
        api.answers["/permission/per_1/reply"] = api.answers["/permission/per_2/reply"] = True
        asked = {"sessionID": "ses_1", "permission": "bash", "patterns": ["x"]}
        for key in ("per_1", "per_2", "per_3"):
            api.event("permission.asked", id=key, **asked)
            assert (await seen.get()).dialog_key == "per_1"
        assert await session.answer("per_1", "accept")
        assert await session.answer("per_1", "always")
        assert await session.answer("per_2", "deny")
        assert not await session.answer("per_3", "accept")  # the server says no
        assert not await session.answer("per_9", "accept")
        replies = [body for _, body in api.posted]
        assert replies == [{"reply": "once"}, {"reply": "always"}, {"reply": "reject"}, {"reply": "once"}]
        api.event("permission.replied", sessionID="ses_1", requestID="per_1", reply="once")
        assert (await seen.get()).dialog_key == "per_2"
        assert not await session.answer("per_1", "accept")
    assert KIND.profile.keys.accept is None


@pytest.mark.anyio
async def test_nothing_is_said_before_the_first_work_for_the_terminal_may_not_take_keys_yet() -> None:
    async with running_api() as api, watching(api) as (_, seen):
        api.event("session.updated", info={})
        api.event("a.novelty", anything=[1])
        api.status("busy")
        assert (await seen.get()).state == "busy"
        assert seen.empty()


@pytest.mark.anyio
async def test_it_is_busy_while_a_subagent_is() -> None:
    async with running_api() as api, watching(api) as (_, seen):
        api.status("busy")
        api.status("busy", "ses_child")
        api.status("idle", "ses_1")
        states = [(await seen.get()).state for _ in range(3)]
        api.status("idle", "ses_child")
        assert [*states, (await seen.get()).state] == ["busy", "busy", "busy", "idle"]


@pytest.mark.anyio
async def test_after_an_adoption_the_snapshot_tells_what_is_open() -> None:
    async with running_api() as api:
        api.answers["/session/status"] = {"ses_1": {"type": "busy"}}
        api.answers["/permission"] = [{"id": "per_1", "sessionID": "ses_1", "permission": "edit", "patterns": ["a.py"]}]
        async with watching(api) as (_, seen):
            waiting = await seen.get()
            assert (waiting.state, waiting.command) == ("waiting", "a.py")


@pytest.mark.anyio
async def test_a_broken_stream_is_opened_again() -> None:
    async with running_api() as api, watching(api) as (_, seen):
        api.status("busy")
        assert (await seen.get()).state == "busy"
        api.streams[-1].close()
        assert (await seen.get()).state == "idle"  # from the new snapshot
        assert len(api.streams) == 2


def message(role: str, text: str, at_ms: int, **info: object) -> dict[str, object]:
    return {
        "info": {"id": f"{role}-{at_ms}", "role": role, "time": {"created": at_ms, "completed": at_ms + 1}, **info},
        "parts": [{"type": "step-start"}, {"type": "text", "text": text}],
    }


@pytest.mark.anyio
async def test_the_reply_is_all_text_of_the_turn_that_the_prompt_began() -> None:
    async with running_api() as api, watching(api) as (session, _):
        api.answers["/session/ses_1/message?limit=100"] = [
            message("user", "same", T0),
            message("assistant", "old", T0 + 10, parentID=f"user-{T0}", finish="stop"),
            message("user", "same ", T0 + 500),
            message("assistant", "First.", T0 + 510, parentID=f"user-{T0 + 500}", finish="tool-calls"),
            message("assistant", "Done.", T0 + 520, parentID=f"user-{T0 + 500}", finish="stop"),
        ]
        assert await session.reply(Turn("same", T0 + 490)) == "First.\n\nDone."
        assert await session.finished(Turn("same", T0 + 490))
        assert not await session.finished(Turn("same", T0 + 900))
        assert not await session.finished(Turn("other", T0))


@pytest.mark.anyio
async def test_a_turn_between_two_steps_is_not_finished() -> None:
    async with running_api() as api, watching(api) as (session, _):
        step = message("assistant", "First.", T0 + 10, parentID=f"user-{T0}", finish="tool-calls")
        api.answers["/session/ses_1/message?limit=100"] = [message("user", "x", T0)]
        assert not await session.finished(Turn("x", T0))
        api.answers["/session/ses_1/message?limit=100"] = [message("user", "x", T0), step]
        assert not await session.finished(Turn("x", T0))


def denied(words: str) -> dict[str, object]:
    """A step whose call a person denied, with `words` at the end of its error."""
    step = message("assistant", "", T0 + 10, parentID=f"user-{T0}", finish="tool-calls")
    error = f"The user rejected permission to use this specific tool call{words}"
    step["parts"] = [{"type": "tool", "tool": "bash", "state": {"status": "error", "error": error}}]
    return step


@pytest.mark.anyio
async def test_a_turn_whose_call_was_denied_is_over_and_has_an_empty_reply() -> None:
    async with running_api() as api, watching(api) as (session, _):
        api.answers["/session/ses_1/message?limit=100"] = [message("user", "x", T0), denied(".")]
        assert await session.finished(Turn("x", T0))
        assert await session.reply(Turn("x", T0)) == ""


@pytest.mark.anyio
async def test_a_turn_whose_call_was_denied_with_words_goes_on() -> None:
    async with running_api() as api, watching(api) as (session, _):
        step = denied(" with the following feedback: not that one")
        api.answers["/session/ses_1/message?limit=100"] = [message("user", "x", T0), step]
        assert not await session.finished(Turn("x", T0))


@pytest.mark.anyio
async def test_a_failed_turn_replies_with_the_error() -> None:
    error = {"name": "APIError", "data": {"message": "the model answers 400"}}
    async with running_api() as api, watching(api) as (session, _):
        failed = message("assistant", "", T0 + 10, parentID=f"user-{T0}", error=error)
        api.answers["/session/ses_1/message?limit=100"] = [message("user", "x", T0), failed]
        assert await session.reply(Turn("x", T0)) == "the model answers 400"
        assert await session.failure(Turn("x", T0)) == "the model answers 400"


@pytest.mark.anyio
async def test_another_programs_port_is_not_ours() -> None:
    async with running_api() as api:
        with pytest.raises(ApiError, match="401"):
            await get_body(Address(api.port, "opencode", "wrong"), "/session/status")


RECORDED = Path(__file__).parent / "data" / "messages.json"
"""What 1.18.33 answered."""


@pytest.mark.anyio
async def test_the_conversation_has_all_that_was_said_and_done() -> None:
    async with running_api() as api, watching(api) as (session, _):
        api.answers["/session"] = []
        assert (await session.messages()).messages == ()
        api.answers["/session/ses_1/message?limit=300"] = json.loads(RECORDED.read_text())
        api.event("message.updated", info={"id": "m", "role": "user", "sessionID": "ses_1"})
        async with asyncio.timeout(5):
            while not (found := await session.messages()).messages:
                await asyncio.sleep(0.01)
    assert (found.source, found.warning) == ("api", None)
    assert [(one.role, one.text[:30].strip()) for one in found.messages] == [
        ("user", "hello one"),
        ("agent", "You said: hello one"),
        ("user", "TOOL touch approved"),
        ("tool", "(no output)"),
        ("agent", "tool finished: (no output)"),
        ("user", "TOOL touch never"),
        ("tool", "The user rejected permission t"),
        ("user", "typed by hand"),
        ("agent", "You said: typed by hand"),
        ("user", "SLOW30 int"),
        ("agent", "word1 word2 word3 word4 word5"),
        ("user", "after int"),
        ("agent", "You said: after int"),
        ("user", "SLOW3 a"),
        ("agent", "word1 word2 word3 word4 word5"),
        ("user", "steered"),
        ("agent", "You said: steered"),
    ]
    tools = [one.tool for one in found.messages if one.tool is not None]
    assert tools == [ToolUse("bash", "touch approved", "done"), ToolUse("bash", "touch never", "denied")]


@pytest.mark.anyio
async def test_after_an_adoption_the_conversation_is_the_one_that_was_used_in_this_run() -> None:
    stored = [
        {"id": "ses_old", "time": {"updated": T0 - 1}},
        {"id": "ses_1", "time": {"updated": T0 + 5}},
        {"id": "ses_child", "parentID": "ses_1", "time": {"updated": T0 + 9}},
    ]
    async with running_api() as api:
        api.answers["/session"] = stored
        api.answers["/session/ses_1/message?limit=300"] = [message("user", "hi", T0)]
        session = OpenCodeSession(Address(api.port, "opencode", "secret"), True, T0)
        assert [one.text for one in (await session.messages()).messages] == ["hi"]
        api.answers["/session"] = stored[:1]
        assert (await session.messages()).messages == ()
        api.answers["/session/ses_9/message?limit=300"] = [message("user", "resumed", T0)]
        launch = KIND.launch(spec(resume=True, last_meta={"conversation": "ses_9"}))
        run = Run(slot="o", pid=1, started_at_ms=T0, cwd="/", env={}, meta={**launch.meta, "port": str(api.port)})
        session = KIND.session(msgspec.structs.replace(run, meta={**run.meta, "password": "secret"}))  # type: ignore[assignment]
        assert [one.text for one in (await session.messages()).messages] == ["resumed"]


@pytest.mark.anyio
async def test_megabytes_of_messages_are_read_in_threads_and_more_than_16_mib_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[threading.Thread] = []

    def decoding(body: bytes | msgspec.Raw, kind: type[object]) -> object:
        if isinstance(body, msgspec.Raw) or len(body) > 1 << 20:
            threads.append(threading.current_thread())
        return decode(body, kind)

    decode = session_module._decode
    monkeypatch.setattr(session_module, "_decode", decoding)
    async with running_api() as api:
        session = OpenCodeSession(Address(api.port, "opencode", "secret"), resumed="ses_1")
        asked = {"info": {"id": "m0", "role": "user", "time": {"created": T0}}}
        texts = [{"type": "text", "text": "x" * (1 << 20)}]
        said = {"info": {"id": "m1", "role": "assistant", "time": {"created": T0}}, "parts": texts}
        for limit in (100, 300):
            api.answers[f"/session/ses_1/message?limit={limit}"] = [asked, *[said] * 12]
        await session.finished(Turn(prompt="what", entered_at_ms=T0))
        assert (await session.messages()).messages
        assert len(threads) == 2 * (1 + 13)
        assert threading.main_thread() not in threads
        api.answers["/session/ses_1/message?limit=300"] = [asked, *[said] * 17]
        with pytest.raises(ApiError, match="too large"):
            await session.messages()


def test_a_shell_mode_that_was_left_on_is_an_idle_agent() -> None:
    """Before the first prompt only the screen tells: a prompt that clears it must not wait for ever."""
    rule = next(rule for rule in OpenCodeKind.profile.rules if rule.id == "opencode-idle")
    screen = f"   ┃  Shell\n   ╹{'▀' * 40}\n{' ' * 30}esc exit shell mode\n"
    assert re.search(rule.pattern, screen, re.MULTILINE)
