"""Jobs from a real NATS server into real slots: each once, whoever dies in the middle."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshd_core.testing.plugin_files import install
from meshd_core.types import PluginList

Eventually = Callable[..., None]
FAILING_KIND = """
from msgspec.structs import replace
from meshd_core.api import AgentKind, AgentSession, hookimpl
from meshd_core.testing.demo_kind import PROFILE

class Session(AgentSession):
    async def failure(self, turn):
        return "no model today" if turn.prompt == "fail" else None

class Failing(AgentKind):
    profile = replace(PROFILE, name="failing")

    def session(self, run):
        return Session()

@hookimpl
def meshd_agent_kinds(ctx):
    return [Failing()]
"""


def states(server: Any, ids: list[str]) -> Counter[str]:
    return Counter(result.state for result in server.results(*ids).values())


def ended(counted: Counter[str]) -> int:
    return counted["done"] + counted["unknown"]


def test_a_job_goes_to_an_idle_slot_and_its_result_comes_back(server: Any, site: Any, eventually: Eventually) -> None:
    one = site()
    server.submit(("job-1", "hello from the queue"))
    eventually(lambda: states(server, ["job-1"])["done"])
    result = server.results("job-1")["job-1"]
    assert (result.node, result.slot) == ("n1", "s0")
    assert result.receipt is not None
    assert (result.receipt.stage, result.receipt.reply) == ("completed", "echo: hello from the queue")
    assert one.prompts() == ["hello from the queue"]
    eventually(lambda: server.waiting() == 0)
    eventually(lambda: not list(one.folder.rglob("jobs/*.json")), what="the ledger forgets what is done")


def test_many_jobs_are_done_once_each_by_all_slots_of_two_nodes(server: Any, site: Any, eventually: Eventually) -> None:
    sites = [site("n1", 2), site("n2", 2)]
    ids = [f"job-{number}" for number in range(60)]
    server.submit(*((id, f"do {id}") for id in ids))
    eventually(lambda: states(server, ids)["done"] == 60, 120)
    assert Counter(text for one in sites for text in one.prompts()) == Counter(f"do {id}" for id in ids)
    by = Counter((result.node, result.slot) for result in server.results(*ids).values())
    assert len(by) == 4


@pytest.mark.timeout(300)
def test_kill_9_of_the_daemon_in_the_middle_types_nothing_twice(server: Any, site: Any, eventually: Eventually) -> None:
    one = site(slots=2)
    ids = [f"job-{number}" for number in range(16)]
    server.submit(*((id, f"slow 0.3 {id}") for id in ids))
    for done in (2, 6, 10):
        eventually(lambda done=done: states(server, ids)["done"] >= done)
        one.daemon.kill()
        one.daemon.start()
    eventually(lambda: ended(states(server, ids)) == 16, 120, lambda: states(server, ids))
    results, typed = server.results(*ids), Counter(one.prompts())
    done = {f"slow 0.3 {id}" for id, result in results.items() if result.state == "done"}
    assert {text for text in typed if text in done} == done
    # A kill in the middle of typing leaves a prompt of which nobody can know: at most one for each slot and kill.
    assert len(ids) - len(done) <= 6
    assert set(typed.values()) == {1}
    eventually(lambda: server.waiting() == 0)


@pytest.mark.timeout(300)
def test_kill_9_of_the_broker_loses_no_job_and_repeats_none(server: Any, site: Any, eventually: Eventually) -> None:
    sites = [site("n1", 2), site("n2", 2)]
    ids = [f"job-{number}" for number in range(60)]
    server.submit(*((id, f"slow 0.2 {id}") for id in ids))
    for done in (5, 20, 35):
        eventually(lambda done=done: states(server, ids)["done"] >= done)
        server.kill()
        server.start()
    eventually(lambda: states(server, ids)["done"] == 60, 110, lambda: states(server, ids))
    assert Counter(text for one in sites for text in one.prompts()) == Counter(f"slow 0.2 {id}" for id in ids)


def test_the_end_of_a_daemon_leaves_its_job_to_the_next(server: Any, site: Any, eventually: Eventually) -> None:
    one = site()
    server.submit(("job-1", "slow 3"))
    eventually(one.prompts)
    assert one.daemon.terminate() == 0
    one.daemon.start()
    eventually(lambda: states(server, ["job-1"])["done"])
    assert one.prompts() == ["slow 3"]


def test_a_node_that_does_not_come_back_is_told_and_the_job_waits_for_a_person(
    server: Any, site: Any, eventually: Eventually
) -> None:
    one, other = site("n1"), site("n2", slots=0)
    server.submit(("job-1", "slow 60"))
    eventually(one.prompts)
    one.daemon.kill()
    eventually(lambda: states(server, ["job-1"])["lost"])
    assert server.results("job-1")["job-1"].error == "n1 is silent; told by n2"
    assert other.prompts() == []
    one.daemon.start()
    one.daemon.call("POST", "/stop/s0")
    eventually(lambda: states(server, ["job-1"]).keys() & {"failed", "unknown"}, what=lambda: server.results("job-1"))


def test_redelivery_is_opt_in_and_then_another_node_takes_over(server: Any, site: Any, eventually: Eventually) -> None:
    one = site("n1", max_deliver=3)
    server.submit(("job-1", "slow 60"))
    eventually(one.prompts)
    one.daemon.kill()
    other = site("n2", max_deliver=3)
    eventually(other.prompts)
    assert server.results("job-1")["job-1"].node == "n2"
    one.daemon.start()
    eventually(lambda: not list(one.folder.rglob("jobs/*.json")), what="the first gives it up")


def test_a_job_that_is_submitted_twice_is_typed_once(server: Any, site: Any, eventually: Eventually) -> None:
    one = site(slots=2)
    server.submit(("job-1", "hello"), ("job-1", "hello"), ("job-1", "hello"), raw=True)
    server.submit(("job-2", "last"))
    eventually(lambda: states(server, ["job-1", "job-2"])["done"] == 2)
    eventually(lambda: server.waiting() == 0)
    assert sorted(one.prompts()) == ["hello", "last"]


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        (b"not json", False),
        (b'{"text": "no id"}', False),
        (b'{"id": "a.b", "text": "not a word"}', False),
        (b'{"id": "job-9"}', True),
        (b'{"id": "job-9", "text": 5}', True),
        (b'{"id": "job-9", "text": "x", "txet": "y"}', True),
    ],
)
def test_what_is_no_job_is_refused_and_holds_nobody_up(
    server: Any, site: Any, eventually: Eventually, body: bytes, refused: bool
) -> None:
    one = site()

    async def publish(js: Any) -> None:
        await js.publish("meshd.jobs.demo", body)

    eventually(lambda: "MESHD_JOBS" in streams(server))
    server.use(publish)
    server.submit(("job-1", "hello"))
    eventually(lambda: states(server, ["job-1"])["done"])
    assert states(server, ["job-9"])["refused"] == refused
    assert one.prompts() == ["hello"]
    eventually(lambda: server.waiting() == 0)


def streams(server: Any) -> set[str]:
    async def names(js: Any) -> set[str]:
        return {info.config.name for info in await js.streams_info()}

    found: set[str] = server.use(names)
    return found


def test_a_job_whose_slot_is_removed_ends_and_is_not_lost(server: Any, site: Any, eventually: Eventually) -> None:
    one = site(slots=1)
    server.submit(("job-1", "slow 600"))
    eventually(one.prompts)
    whole = one.daemon.config.read_text()
    one.daemon.config.write_text(whole[: whole.index("[[slots]]")] + whole[whole.index("[plugins.nats]") :])
    one.daemon.reload(stop_removed=True)
    eventually(lambda: states(server, ["job-1"])["failed"], what=lambda: server.results("job-1"))
    receipt = server.results("job-1")["job-1"].receipt
    assert receipt is not None and receipt.error is not None
    assert receipt.error.code == "agent_exited"
    eventually(lambda: not list(one.folder.rglob("jobs/*.json")) and server.waiting() == 0)
    one.daemon.config.write_text(whole)
    one.daemon.reload()
    server.submit(("job-2", "hello"))
    eventually(lambda: states(server, ["job-2"])["done"])
    assert one.prompts() == ["slow 600", "hello"]


@pytest.mark.parametrize("limits", ["server", "stream"])
def test_a_result_that_is_too_large_for_the_broker_is_cut(
    server: Any, site: Any, eventually: Eventually, limits: str
) -> None:
    if limits == "server":
        server.kill()
        server.limit(8192)
        server.start()
    site()
    server.submit(("first", "hello"))
    eventually(lambda: states(server, ["first"])["done"])
    if limits == "stream":

        async def limit(js: Any) -> None:
            config = (await js.stream_info("MESHD_RESULTS")).config
            await js.update_stream(config, max_msg_size=8192)

        server.use(limit)
    server.submit(("job-1", "lines 3000 3000"), ("job-2", "hello"))
    eventually(lambda: states(server, ["job-1", "job-2"])["done"] == 2)
    results = server.results("first", "job-1", "job-2")
    assert [result.cut for result in results.values()] == [False, True, False]
    receipt = results["job-1"].receipt
    assert receipt is not None and receipt.reply is not None
    assert receipt.reply.startswith("line 1\nline 2\n") and len(receipt.reply) > 6000
    eventually(lambda: server.waiting() == 0)


def test_a_turn_that_ends_with_an_error_is_a_failed_job(
    server: Any, site: Any, eventually: Eventually, short_tmp: Path
) -> None:
    site(kind="failing", env=install(short_tmp, "failing_kind", FAILING_KIND))
    server.submit(("job-1", "hello"), ("job-2", "fail"), kind="failing")
    eventually(lambda: len(states(server, ["job-1", "job-2"]).keys() & {"done", "failed"}) == 2)
    results = server.results("job-1", "job-2")
    assert (results["job-1"].state, results["job-2"].state) == ("done", "failed")
    receipt = results["job-2"].receipt
    assert receipt is not None and receipt.error is not None
    assert (receipt.stage, receipt.error.code, receipt.error.message) == ("completed", "turn_failed", "no model today")
    eventually(lambda: server.waiting() == 0)


def test_a_refused_prompt_is_a_failed_job(server: Any, site: Any, eventually: Eventually) -> None:
    site()
    server.submit(("job-1", " \n "))
    eventually(lambda: states(server, ["job-1"])["failed"])
    assert str(server.results("job-1")["job-1"].error).startswith("invalid_field: ")


def test_only_slots_of_the_globs_and_of_the_kind_take_jobs(server: Any, site: Any, eventually: Eventually) -> None:
    one = site(slots=3)
    one.daemon.shutdown()
    text = one.daemon.config.read_text().replace("[plugins.nats]\n", '[plugins.nats]\nslots = ["s1"]\n')
    one.daemon.config.write_text(text)
    one.daemon.start()
    ids = [f"job-{number}" for number in range(4)]
    server.submit(*((id, id) for id in ids))
    server.submit(("other", "for nobody"), kind="claude")
    eventually(lambda: states(server, ids)["done"] == 4)
    assert {result.slot for result in server.results(*ids).values()} == {"s1"}
    assert server.results("other") == {}


def test_a_broker_that_is_not_there_is_told_and_found_when_it_comes(
    server: Any, site: Any, eventually: Eventually
) -> None:
    server.kill()
    one = site()

    def error() -> str:
        plugins = one.daemon.get("/plugins", PluginList).plugins
        return next(plugin.error or "" for plugin in plugins if plugin.name == "nats")

    eventually(lambda: "no NATS server" in error())
    assert json.loads(one.daemon.call("GET", "/health")) == {"status": "ok"}
    server.start()
    eventually(lambda: "MESHD_JOBS" in streams(server))
    server.submit(("job-1", "hello"))
    eventually(lambda: states(server, ["job-1"])["done"])
