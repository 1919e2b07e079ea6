"""Options, the ledger, and claims against a real server."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from meshd_nats.broker import Broker, NoBroker
from meshd_nats.ledger import Held, Ledger
from meshd_nats.options import NatsOptions
from meshd_nats.wire import Job, JobReceipt, Names, fitted

from meshd_core.api import Receipt, SecretRef

pytestmark = pytest.mark.anyio


def held(claim: str, deliveries: int = 1, job: str = "job-1") -> Held:
    return Held(Job(job, "x"), "s0", claim, "$JS.ACK.nowhere", 1, deliveries, 0)


def taken(claim: str, state: Any = "taken") -> JobReceipt:
    return JobReceipt("job-1", state, "n1", "now", "s0", claim)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"servers": ["nats://nats.example.com"]}, "use tls://"),
        ({"servers": ["http://127.0.0.1"]}, "must be URLs"),
        ({"servers": ["nats://u:secret@127.0.0.1"]}, "must not hold a credential"),
        ({"servers": ["nats://[::1"]}, "no URL"),
        ({"user": "u"}, "belong together"),
        ({"token": SecretRef(env="A"), "creds": SecretRef(env="B")}, "exclude each other"),
    ],
)
def test_what_can_not_work_is_an_error_of_the_configuration(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        NatsOptions(**options)
    assert "secret@" not in str(caught.value)


def test_servers_that_are_safe_are_taken() -> None:
    assert NatsOptions(servers=["nats://127.0.0.1:4222", "nats://localhost", "tls://nats.example.com:4222"])
    assert NatsOptions(servers=["nats://nats.example.com"], insecure=True)


def test_a_kind_with_dots_has_a_subject_and_a_consumer_of_its_own() -> None:
    names = Names("meshd")
    assert names.consumer("my.kind") != names.consumer("my-kind")
    assert "." not in names.consumer("my.kind")


def test_the_ledger_gives_back_what_was_in_hand_and_sets_damage_aside(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "deep" / "jobs")
    assert ledger.open() == []
    one, two = held("a"), held("b", job="job-2")
    ledger.save(one)
    ledger.save(two)
    ledger.save(two)
    (path,) = (tmp_path / "deep" / "jobs").glob("job-1*.json")
    assert path.stat().st_mode & 0o777 == 0o600
    assert ledger.open() == [one, two]
    path.write_bytes(b'{"job"')
    ledger.forget(held("never there"))
    assert Ledger(tmp_path / "deep" / "jobs").open() == [two]
    ledger.forget(two)
    assert ledger.open() == []
    assert [path.suffix for path in (tmp_path / "deep" / "jobs").iterdir()] == [".bad"]


@pytest.mark.parametrize("piece", ["a", "\x01", "ä", "\U0001f600", '"'])
def test_a_result_that_is_too_large_has_as_much_of_its_reply_as_fits(piece: str) -> None:
    receipt = Receipt("r@n1", "s0", "n1", "completed", {}, None, (), piece * 2000, None, False)
    result = msgspec.structs.replace(taken("c", "done"), receipt=receipt)
    assert fitted(result, 1 << 20) is result
    cut = fitted(result, 1500)
    assert cut.receipt is not None and cut.receipt.reply
    assert piece * 2000 == cut.receipt.reply + piece * (2000 - len(cut.receipt.reply))
    assert 1500 - len(msgspec.json.encode(piece)) < len(msgspec.json.encode(cut)) <= 1500
    least = fitted(result, 200)
    assert (least.state, least.receipt, least.cut) == ("done", None, True)
    assert fitted(taken("c"), 10) == taken("c")


async def test_of_many_that_claim_a_job_at_once_one_gets_it(server: Any) -> None:
    options = NatsOptions(servers=[server.url])
    async with Broker.connected(options, "n1", {}) as one, Broker.connected(options, "n2", {}) as two:
        claims = [f"c{number}" for number in range(20)]
        got = await asyncio.gather(
            *(broker.claim(held(claim), taken(claim)) for claim, broker in zip(claims, [one, two] * 10, strict=True))
        )
        assert sum(got) == 1
        winner = claims[got.index(True)]
        assert await two.claim(held(winner), taken(winner)), "asked again, it is still his"
        assert not await one.claim(held("late"), taken("late"))


async def test_a_claim_is_taken_over_only_by_a_delivery_that_replaces_it(server: Any) -> None:
    async with Broker.connected(NatsOptions(servers=[server.url]), "n1", {}) as broker:
        assert await broker.claim(held("first"), taken("first"))
        assert not await broker.claim(held("same"), taken("same"))
        assert await broker.claim(held("second", deliveries=2), taken("second"))
        assert not await broker.claim(held("first"), taken("first")), "who was replaced does not go on"
        await broker.finish(held("second"), taken("second", "done"))
        assert not await broker.claim(held("third", deliveries=3), taken("third")), "what has ended is not begun again"


async def test_a_stream_of_somebody_elses_is_not_used(server: Any) -> None:
    async def occupy(js: Any) -> None:
        await js.add_stream(name="MESHD_JOBS", subjects=["meshd.jobs.>"])

    await asyncio.to_thread(server.use, occupy)
    with pytest.raises(NoBroker, match="no work queue"):
        async with Broker.connected(NatsOptions(servers=[server.url]), "n1", {}):
            pass


async def test_a_job_that_was_delivered_and_never_claimed_is_put_back(server: Any) -> None:
    options = NatsOptions(servers=[server.url], ack_wait_s=3)
    async with Broker.connected(options, "n1", {}) as broker:
        await broker.make_consumer("demo")
        await asyncio.to_thread(server.submit, ("job-1", "hello"))
        first = await broker.pull("demo")
        assert first is not None
        assert await broker.pull("demo") is None
        await broker.sweep("demo", "n2")
        again = await broker.pull("demo")
        assert again is not None
        assert again.data == first.data
        assert await asyncio.to_thread(server.waiting) == 1
