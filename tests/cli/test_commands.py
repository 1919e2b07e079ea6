"""Commands against a scripted daemon: what people see, what programs get, and what the exit code says."""

import io
import json
import os
import signal
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pexpect
import pytest


def ok(body: Any) -> Any:
    return lambda request, reply: reply.json(body)


@pytest.mark.parametrize("name", ["../x", "a b", "a/b", "..", "a@b@c", "a@", "@b", "", "a%2fb"])
def test_a_word_that_names_no_slot_is_wrong_usage(meshd: Any, server: Any, name: str) -> None:
    for words in (["show", name], ["inject", name, "hello"], ["attach", name]):
        done = meshd(*words)
        assert done.returncode == 2 and "is no name of a slot" in done.stderr, done
    done = meshd("receipt", name)
    assert done.returncode == 2 and "is no id of a receipt" in done.stderr
    assert not server.requests


def test_ls_shows_a_table(server: Any, scripted: ModuleType, meshd: Any) -> None:
    broken = {**scripted.SLOT, "name": "claude", "status": "failed", "error": "claude is not on PATH"}
    server.handle = ok({"slots": [scripted.SLOT, broken]})
    done = meshd("ls", "--kind", "demo")
    assert (done.returncode, done.stderr) == (0, "")
    head, demo, claude = done.stdout.splitlines()
    assert head.split() == ["NAME", "KIND", "STATUS", "ACTIVITY", "FOR", "QUEUE"]
    assert demo.split()[:4] == ["demo", "demo", "running", "idle"] and demo.endswith("the demo")
    assert claude.split()[:4] == ["claude", "demo", "failed", "-"] and claude.endswith("claude is not on PATH")
    assert head.index("ACTIVITY") == demo.index("idle")
    assert server.requests[0].target == "/slots?kind=demo"


def test_json_is_one_document_and_nothing_else(server: Any, scripted: ModuleType, meshd: Any) -> None:
    server.handle = ok({"slots": [scripted.SLOT]})
    done = meshd("ls", "--json")
    assert json.loads(done.stdout)["slots"][0]["activity"]["state"] == "idle"


def test_show_and_screen_tell_what_the_daemon_told(server: Any, scripted: ModuleType, meshd: Any) -> None:
    def handle(request: Any, reply: Any) -> None:
        if request.path.startswith("/screen/"):
            rows = ["demo> hi", "\x1b]0;evil\x07", "", ""]
            reply.json({"rows": rows, "cursor": {"row": 0, "col": 0}, "title": "", "alternate": False,
                        "size": {"rows": 4, "cols": 10}})  # fmt: skip
        else:
            reply.json(scripted.SLOT)

    server.handle = handle
    shown = meshd("show", "demo").stdout
    assert "signal: osc7501-idle state=idle" in shown and "idle for" in shown
    assert meshd("screen", "demo").stdout == "demo> hi\n\N{REPLACEMENT CHARACTER}]0;evil\N{REPLACEMENT CHARACTER}\n"


def test_a_name_that_a_lying_node_gives_does_nothing_to_the_terminal(
    server: Any, scripted: ModuleType, meshd: Any
) -> None:
    server.handle = lambda request, reply: reply.json(scripted.receipt("submitted", id="\x1b]0;evil@n1"))
    assert meshd("inject", "demo", "hello").stdout == "submitted \N{REPLACEMENT CHARACTER}]0;evil@n1\n"
    server.handle = lambda request, reply: reply.json({"slot": "\x9b31m", "node": "n1", "bytes_written": 1})
    assert meshd("keys", "demo", "x").stdout == "\N{REPLACEMENT CHARACTER}31m: 1 bytes\n"


def test_messages_are_shown_by_who_said_them_and_cannot_forge_another(server: Any, meshd: Any) -> None:
    def message(role: str, text: str, **more: Any) -> dict[str, Any]:
        return {"id": f"{role}-1", "role": role, "source": "log", "text": text, "at": None, "tool": None,
                "receipt": None, "cut": False, **more}  # fmt: skip

    tool = {"name": "Bash", "command": "make\nmake install", "outcome": "denied"}
    server.handle = ok({
        "messages": [
            message("user", "build it\nuser", receipt="01J@mac1"),
            message("tool", "\n".join(f"row {n}" for n in range(9)), tool=tool),
            message("agent", "\x1b[2Jdone", source="inject", cut=True),
        ],
        "source": "log", "before": "m7", "warning": "one record could not be read",
    })  # fmt: skip
    done = meshd("messages", "demo", "-n", "3", "--before", "m9")
    assert server.requests[-1].target == "/messages/demo?before=m9&limit=3"
    assert done.stdout.splitlines() == [
        "user, 01J@mac1", "  build it", "  user",
        "tool, Bash, denied", "  $ make", "  $ make install",
        *(f"  row {n}" for n in range(5)), "  ... 4 lines more",
        "agent, from an inject", "  \N{REPLACEMENT CHARACTER}[2Jdone", "  ... the rest is left out",
    ]  # fmt: skip
    assert done.stderr.splitlines() == ["-- older ones: --before m7 --", "-- one record could not be read --"]
    assert "row 8" in meshd("messages", "demo", "--full").stdout
    assert json.loads(meshd("messages", "demo", "--json").stdout)["before"] == "m7"


def test_without_a_daemon_it_exits_69_and_says_how_to_start_one(meshd: Any, short_tmp: Path) -> None:
    done = meshd("ls")
    assert done.returncode == 69 and done.stdout == ""
    assert done.stderr.startswith(f"meshd: no daemon answers at {short_tmp / 'meshd.sock'}")
    assert "hint: start one with 'meshd serve'" in done.stderr


def test_errors_are_json_too_where_json_was_asked_for(server: Any, meshd: Any) -> None:
    server.handle = lambda request, reply: reply.error(
        404, "slot_not_found", "no such slot", hint="look", details={"a": 1}
    )
    done = meshd("show", "demi", "--json")
    assert done.returncode == 1 and done.stdout == ""
    error = {"code": "slot_not_found", "message": "no such slot", "hint": "look", "details": {"a": 1}}
    assert json.loads(done.stderr) == {"error": error}
    plain = meshd("show", "demi")
    assert (plain.returncode, plain.stderr) == (1, "meshd: no such slot\nhint: look\n")


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["ls", "--url", "http://h", "--socket", "x"],
        ["ls", "--url", "h:1"],
        ["ls", "--token", "a", "--token-file", "b"],
        ["ls", "--token-file", "/does/not/exist"],
        ["inject", "demo"],
        ["inject", "demo", "x", "--timeout", "-1"],
        ["tail", "demo", "-n", "5", "--since", "oldest"],
        ["tail", "demo", "--events", "lines"],
        ["token", "create", "--scope", "root"],
    ],
)
def test_wrong_usage_exits_2(meshd: Any, words: list[str]) -> None:
    done = meshd(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Usage:" in done.stderr and "Traceback" not in done.stderr


def test_the_token_comes_from_option_file_or_environment_in_this_order(
    scripted: ModuleType, meshd: Any, tmp_path: Path
) -> None:
    import socket

    running = scripted.ScriptedServer(socket.create_server(("127.0.0.1", 0))).start()
    running.handle = ok({"slots": []})
    (tmp_path / "token").write_text("from-file\n")
    try:
        where = {"MESHD_URL": running.url, "MESHD_TOKEN": "from-env"}
        assert meshd("ls", "--json", **where).returncode == 0
        meshd("ls", "--json", "--token-file", str(tmp_path / "token"), **where)
        meshd("ls", "--json", "--token", "from-option", "--url", running.url)
        meshd("ls", "--json", "--url", running.url)
    finally:
        running.close()
    sent = [request.headers.get("authorization") for request in running.requests]
    assert sent == ["Bearer from-env", "Bearer from-file", "Bearer from-option", None]


def test_a_token_of_the_environment_is_not_sent_to_the_local_socket(
    server: Any, scripted: ModuleType, meshd: Any
) -> None:
    server.handle = ok({"slots": []})
    assert meshd("ls", "--json", MESHD_TOKEN="of-another-daemon").returncode == 0
    assert "authorization" not in server.requests[0].headers


# -- inject --


def test_inject_shows_each_stage_once_and_prints_the_reply(server: Any, scripted: ModuleType, meshd: Any) -> None:
    polled = iter(["writing", "written", "written", "submitted"])
    seen: list[Any] = []

    def handle(request: Any, reply: Any) -> None:
        seen.append(request)
        if request.method == "GET":
            reply.json(scripted.receipt(next(polled, "submitted")))
        elif json.loads(request.body)["until"] == "accepted":
            reply.json(scripted.receipt("accepted"), 202)
        else:
            while len([one for one in seen if one.method == "GET"]) < 3:
                os.sched_yield()
            reply.json(scripted.receipt("completed", reply="echo: hi\n\x1b[2Jdone"))

    server.handle = handle
    done = meshd("inject", "demo", "hi", "--until", "completed")
    assert done.returncode == 0
    assert done.stdout == "echo: hi\n\N{REPLACEMENT CHARACTER}[2Jdone\n"
    assert [line.split()[0] for line in done.stderr.splitlines()] == [
        "accepted", "writing", "written", "submitted", "completed",
    ]  # fmt: skip
    keys = {request.headers["idempotency-key"] for request in seen if request.method == "POST"}
    assert len(keys) == 1


def test_a_turn_that_ended_with_an_error_is_no_success_and_its_words_are_no_reply(
    server: Any, scripted: ModuleType, meshd: Any
) -> None:
    failure = {"code": "turn_failed", "message": "API Error: 401", "screen": []}

    def handle(request: Any, reply: Any) -> None:
        reply.json(scripted.receipt("completed", reply="API Error: 401", error=failure))

    server.handle = handle
    done = meshd("inject", "demo", "hi", "--until", "completed")
    assert (done.returncode, done.stdout) == (1, "")
    assert "the turn ended with an error: API Error: 401" in done.stderr


def test_inject_on_a_terminal_shows_its_stages_in_one_line(
    server: Any, scripted: ModuleType, command: list[str], environment: dict[str, str]
) -> None:
    def handle(request: Any, reply: Any) -> None:
        accepted = request.method == "POST" and json.loads(request.body)["until"] == "accepted"
        reply.json(scripted.receipt("accepted", queue_position=2) if accepted else scripted.receipt("submitted"))

    server.handle = handle
    seen = io.BytesIO()
    words = [*command[1:], "inject", "demo", "hi"]
    child = pexpect.spawn(command[0], words, env=environment, timeout=20, dimensions=(24, 100))
    child.logfile_read = seen
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert seen.getvalue().decode() == (
        "\r\x1b[Kaccepted (number 2 in the queue)"
        "\r\x1b[Kaccepted > writing > written > submitted\r\n"
        "submitted 01JD@n1\r\n"
    )


@pytest.mark.parametrize(
    ("stage", "more", "until", "code", "words"),
    [
        ("submitted", {}, "submitted", 0, "submitted 01JD@n1"),
        ("written", {"capped": True}, "completed", 0, "more than 'written' can't be proven"),
        ("submitted", {}, "completed", 124, "not completed within 0.2 s; the prompt is submitted and goes on"),
        ("failed", {"error": {"code": "agent_exited", "message": "the agent ended"}}, "submitted", 1, "agent_exited"),
        ("unknown", {}, "submitted", 1, "the prompt is unknown"),
        ("expired", {}, "submitted", 1, "the prompt is expired"),
        ("cancelled", {}, "submitted", 1, "the prompt is cancelled"),
    ],
)
def test_the_exit_code_says_what_became_of_the_prompt(
    server: Any, scripted: ModuleType, meshd: Any, stage: str, more: Any, until: str, code: int, words: str
) -> None:
    server.handle = ok(scripted.receipt(stage, **more))
    done = meshd("inject", "demo", "hi", "--until", until, "--timeout", "0.2")
    assert done.returncode == code, done.stderr
    assert words in done.stdout + done.stderr
    as_json = meshd("inject", "demo", "hi", "--until", until, "--timeout", "0.2", "--json")
    assert as_json.returncode == code
    assert json.loads(as_json.stdout)["stage"] == stage


def test_inject_takes_its_text_from_stdin_and_its_options_to_the_daemon(
    server: Any, scripted: ModuleType, meshd: Any
) -> None:
    server.handle = ok(scripted.receipt("submitted"))
    words = ["--when", "steer", "--no-submit", "--expires", "60", "--timeout", "5", "--key", "k1", "--json"]
    assert meshd("inject", "demo", "-", *words, stdin="two\nlines ü\n").returncode == 0
    assert json.loads(server.requests[0].body) == {
        "text": "two\nlines ü", "submit": False, "when": "steer", "until": "written", "timeout_s": 5, "expires_s": 60,
    }  # fmt: skip
    assert server.requests[0].headers["idempotency-key"] == "k1"


def test_a_prompt_that_is_too_long_or_not_text_is_refused_here(server: Any, meshd: Any) -> None:
    long = meshd("inject", "demo", "-", stdin="x" * (256 * 1024 + 1))
    assert long.returncode == 1 and "at most 262144 bytes" in long.stderr
    assert meshd("inject", "demo", "-", stdin=b"\xff\xfe").returncode == 2
    assert meshd("inject", "demo", "x", "--key", "a\nb").returncode == 1
    assert server.requests == []


def test_a_daemon_that_restarts_while_inject_waits_is_asked_again_with_the_same_key(
    server: Any, scripted: ModuleType, meshd: Any
) -> None:
    waiting: list[Any] = []

    def handle(request: Any, reply: Any) -> None:
        if request.method == "POST" and json.loads(request.body)["until"] == "completed":
            waiting.append(request)
            reply.drop() if len(waiting) < 3 else reply.json(scripted.receipt("completed", reply="there"))
        else:
            reply.json(scripted.receipt("accepted"))

    server.handle = handle
    done = meshd("inject", "demo", "hi", "--until", "completed")
    assert (done.returncode, done.stdout) == (0, "there\n")
    assert len({request.headers["idempotency-key"] for request in waiting}) == 1


def test_receipt_shows_and_cancels(server: Any, scripted: ModuleType, meshd: Any) -> None:
    server.handle = ok(scripted.receipt("cancelled", error={"code": "x", "message": "y"}))
    done = meshd("receipt", "01JD@n1", "--cancel")
    assert done.returncode == 0 and "cancelled" in done.stdout and "x: y" in done.stdout
    assert (server.requests[0].method, server.requests[0].target) == ("DELETE", "/injects/01JD@n1")


# -- wait, tail --


def test_wait_exits_124_if_the_state_does_not_come(server: Any, scripted: ModuleType, meshd: Any) -> None:
    busy = {**scripted.SLOT, "activity": {"state": "busy", "since": scripted.LINE_TIME, "confidence": 1}}
    server.handle = ok(busy)
    done = meshd("wait", "demo", "--timeout", "0.2")
    assert done.returncode == 124
    assert "demo was not idle within 0.2 s; it is running, busy" in done.stderr
    assert json.loads(meshd("wait", "demo", "--timeout", "0", "--json").stderr)["error"]["code"] == "timeout"
    assert meshd("wait", "demo", "--for", "busy,waiting").stdout == "busy\n"


def test_wait_outlives_a_restart_of_the_daemon(server: Any, scripted: ModuleType, meshd: Any) -> None:
    busy = {**scripted.SLOT, "activity": {"state": "busy", "since": scripted.LINE_TIME, "confidence": 1}}

    def handle(request: Any, reply: Any) -> None:
        count = len(server.requests)
        reply.json(busy) if count == 1 else reply.drop() if count < 4 else reply.json(scripted.SLOT)

    server.handle = handle
    assert meshd("wait", "demo").stdout == "idle\n"


def test_tail_shows_lines_on_stdout_and_remarks_on_stderr_and_resumes(
    server: Any, scripted: ModuleType, command: list[str], environment: dict[str, str]
) -> None:
    asked: list[Any] = []

    def handle(request: Any, reply: Any) -> None:
        if request.path.startswith("/slots/"):
            reply.json(scripted.SLOT)
            return
        asked.append(request)
        reply.stream()
        if len(asked) == 1:
            reply.lines(1)
            reply.drop()
        else:
            reply.chunk(b'event: gap\nid: e1-15\ndata: {"lost_lines": 2, "lost_bytes": 9}\n\n')
            reply.lines(4)
            reply.until_closed()

    server.handle = handle
    with subprocess.Popen(
        [*command, "tail", "demo", "-n", "3"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert [process.stdout.readline() for _ in range(2)] == ["line 1\n", "line 4\n"]
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        remarks = process.stderr.read()
    assert "-- connection lost, trying again" in remarks and "-- gap: 2 lines lost --" in remarks
    assert "Traceback" not in remarks
    assert asked[0].target == "/stream/demo?events=line%2Cgap%2Cend%2Cbye&tail=3"
    assert asked[1].headers["last-event-id"] == "e1-10"


def test_tail_json_is_one_event_a_line(
    server: Any, scripted: ModuleType, command: list[str], environment: dict[str, str]
) -> None:
    def handle(request: Any, reply: Any) -> None:
        if request.path.startswith("/slots/"):
            reply.json(scripted.SLOT)
        else:
            reply.stream()
            reply.lines(1, 2)
            reply.until_closed()

    server.handle = handle
    with subprocess.Popen([*command, "tail", "demo", "--json"], env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
    line = {"id": "e1-10", "n": 1, "t": scripted.LINE_TIME, "text": "line 1"}
    assert first == {"type": "line", "id": "e1-10", "data": line}


def test_a_reader_that_goes_away_ends_tail_quietly(
    server: Any, scripted: ModuleType, command: list[str], environment: dict[str, str]
) -> None:
    def handle(request: Any, reply: Any) -> None:
        if request.path.startswith("/slots/"):
            reply.json(scripted.SLOT)
            return
        reply.stream()
        while not reply.dropped:
            reply.lines(*range(100))

    server.handle = handle
    pipe = f"{' '.join(command)} tail demo | head -n 2"
    done = subprocess.run(["sh", "-c", pipe], env=environment, capture_output=True, timeout=30)
    assert (done.stdout, done.stderr) == (b"line 0\nline 1\n", b"")


def test_tail_without_following_reads_page_after_page(server: Any, scripted: ModuleType, meshd: Any) -> None:
    def line(n: int) -> dict[str, Any]:
        return {"id": f"e1-{n * 10}", "n": n, "t": scripted.LINE_TIME, "text": f"line {n}"}

    pages = {"oldest": ([line(1), line(2)], "e1-20"), "e1-20": ([line(7)], "e1-70")}

    def handle(request: Any, reply: Any) -> None:
        if request.path.startswith("/slots/"):
            reply.json(scripted.SLOT)
            return
        since = request.target.partition("since=")[2].partition("&")[0]
        lines, after = pages.get(since, ([line(5)], "e1-70"))
        reply.json({"lines": lines, "next": after, "gap": None})

    server.handle = handle
    assert meshd("tail", "demo", "--no-follow", "--since", "oldest").stdout == "line 1\nline 2\nline 7\n"
    assert meshd("tail", "demo", "--no-follow", "-n", "1").stdout == "line 5\n"
    assert server.requests[-1].target == "/output/demo?limit=1"
