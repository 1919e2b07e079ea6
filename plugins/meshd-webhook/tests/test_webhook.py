"""The sink webhook against a real server: what is sent, signed so that others can check it, and what answers mean."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from meshd_webhook import WebhookSink
from meshd_webhook.connection import WebhookConnection
from meshd_webhook.options import WebhookOptions
from standardwebhooks import Webhook, WebhookVerificationError

from meshd_core.api import FleetSink, SecretRef, SinkBusy, SinkContext, SinkPaused, SinkRejected
from meshd_core.testing.sink_conformance import Receiver, SinkConformance
from meshd_core.testing.sinks import EventMaker

pytestmark = pytest.mark.anyio
MAKER = EventMaker()
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
Connect = Callable[..., WebhookConnection]


@pytest.fixture
def connect(http: Any, tmp_path: Path) -> Connect:
    """A connection to `http`; secrets are `env:NAME` in the keyword `secrets`."""

    def make(secrets: dict[str, str] | None = None, **options: Any) -> WebhookConnection:
        def read(ref: SecretRef) -> str:
            found = (secrets or {}).get(ref.env or "")
            if found is None:
                raise ValueError("the environment variable is not set")
            return found

        given = WebhookOptions(**({"url": http.url} | options))
        return WebhookConnection(SinkContext("hook", "mac1", "b", given, tmp_path, read))

    return make


def event_ids(body: bytes) -> list[str]:
    return [event["id"] for event in json.loads(body)["data"]["events"]]


# -- json --


async def test_a_signed_batch_is_accepted_by_an_independent_implementation(http: Any, connect: Connect) -> None:
    connection = connect({"S": SECRET}, secret=SecretRef(env="S"))
    events = [MAKER.dialog("odd \u2028 \u0000 text"), MAKER.heartbeat()]
    await connection.send(events)
    await connection.close()
    (seen,) = http.seen
    payload = Webhook(SECRET).verify(seen.body, seen.headers)
    assert [event["id"] for event in payload["data"]["events"]] == [event.id for event in events]
    assert (payload["type"], payload["timestamp"]) == ("meshd.events", events[-1].at)
    assert seen.headers["content-type"] == "application/json"
    for secret, body in ((OTHER, seen.body), (SECRET, seen.body.replace(b"odd", b"even"))):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(body, seen.headers)


async def test_while_a_secret_is_rotated_both_sign(http: Any, connect: Connect) -> None:
    secrets = {"S": SECRET}
    connection = connect(secrets, secret=SecretRef(env="S"))
    await connection.send([MAKER.heartbeat()])
    secrets["S"] = f"{OTHER}\n{SECRET}"
    await connection.send([MAKER.heartbeat()])
    await connection.close()
    for secret in (SECRET, OTHER):
        Webhook(secret).verify(http.seen[1].body, http.seen[1].headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(http.seen[0].body, http.seen[0].headers)


async def test_a_batch_that_comes_again_has_the_same_id(http: Any, connect: Connect) -> None:
    connection = connect({"S": SECRET}, secret=SecretRef(env="S"))
    events = [MAKER.heartbeat(), MAKER.heartbeat()]
    http.answers.append(503)
    with pytest.raises(SinkBusy):
        await connection.send(events)
    await connection.send(events)
    await connection.send(events[:1])
    await connection.close()
    ids = [seen.headers["webhook-id"] for seen in http.seen]
    assert ids[0] == ids[1] != ids[2]


async def test_without_a_secret_it_is_not_signed_and_a_token_is_sent(http: Any, connect: Connect) -> None:
    connection = connect({"T": "t0ken"}, token=SecretRef(env="T"))
    await connection.send([MAKER.heartbeat()])
    await connection.close()
    assert http.seen[0].headers["authorization"] == "Bearer t0ken"
    assert not [name for name in http.seen[0].headers if name.startswith("webhook-")]


@pytest.mark.parametrize(
    ("secrets", "options", "reason"),
    [
        ({}, {"secret": SecretRef(env="S")}, "is not set"),
        ({"S": "not base64!"}, {"secret": SecretRef(env="S")}, "whsec_"),
        ({"S": "c2hvcnQ="}, {"secret": SecretRef(env="S")}, "24 to 64 bytes"),
        ({"T": "two words"}, {"token": SecretRef(env="T")}, "one word"),
        ({"T": "x\r\nHost: evil"}, {"token": SecretRef(env="T")}, "one word"),
        ({"U": "ftp://x/y"}, {"url": SecretRef(env="U")}, "not an http"),
        ({"U": "http://example.com/hook"}, {"url": SecretRef(env="U")}, "plain http"),
    ],
)
async def test_a_secret_that_cannot_be_used_pauses_and_is_not_shown(
    http: Any, connect: Connect, secrets: dict[str, str], options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(SinkPaused, match=reason) as caught:
        await connect(secrets, **options).send([MAKER.heartbeat()])
    assert not any(secret in str(caught.value) for secret in secrets.values())
    assert http.seen == []


# -- answers --


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, None), (201, None), (204, None), (408, SinkBusy), (429, SinkBusy), (500, SinkBusy), (503, SinkBusy),
        (301, SinkPaused), (307, SinkPaused), (401, SinkPaused), (403, SinkPaused), (404, SinkPaused),
        (410, SinkPaused), (400, SinkRejected), (413, SinkRejected), (422, SinkRejected),
    ],
)  # fmt: skip
async def test_what_an_answer_means(http: Any, connect: Connect, status: int, expected: type[Exception] | None) -> None:
    http.answers.append(
        (status, {"Location": "http://127.0.0.1:1/elsewhere"}, b"s3cret-echo") if status != 204 else 204
    )
    connection = connect()
    try:
        if expected is None:
            await connection.send([MAKER.heartbeat()])
        else:
            with pytest.raises(expected) as caught:
                await connection.send([MAKER.heartbeat()])
            assert str(status) in str(caught.value)
            assert "s3cret" not in str(caught.value)
    finally:
        await connection.close()
    assert len(http.seen) == 1, "no redirect is followed"


@pytest.mark.parametrize(("header", "least", "most"), [("7", 7, 7), (lambda: formatdate(time.time() + 60), 50, 61)])
async def test_retry_after_is_heard(http: Any, connect: Connect, header: Any, least: float, most: float) -> None:
    http.answers.append((429, {"Retry-After": header if isinstance(header, str) else header()}, b""))
    connection = connect()
    with pytest.raises(SinkBusy) as caught:
        await connection.send([MAKER.heartbeat()])
    await connection.close()
    assert caught.value.retry_after_s is not None
    assert least <= caught.value.retry_after_s <= most


@pytest.mark.parametrize("header", ["soon", "", "Mon, 99 Foo"])
async def test_a_wish_that_is_none_is_not_heard(http: Any, connect: Connect, header: str) -> None:
    http.answers.append((503, {"Retry-After": header}, b""))
    connection = connect()
    with pytest.raises(SinkBusy) as caught:
        await connection.send([MAKER.heartbeat()])
    await connection.close()
    assert caught.value.retry_after_s is None


async def test_a_huge_answer_is_not_read(http: Any, connect: Connect) -> None:
    http.answers.append((200, {}, b"x" * 50_000_000))
    connection = connect()
    await connection.send([MAKER.heartbeat()])
    await connection.send([MAKER.heartbeat()])
    await connection.close()


async def test_a_hanging_receiver_costs_the_timeout_and_no_url_is_shown(http: Any, connect: Connect) -> None:
    http.hang.clear()
    connection = connect(timeout_s=0.2)
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1: no answer in time") as caught:
        await connection.send([MAKER.heartbeat()])
    await connection.close()
    assert "s3cret-path" not in str(caught.value)
    assert caught.value.__cause__ is None


async def test_nobody_there_is_told_without_the_url(connect: Connect) -> None:
    connection = connect(url="http://127.0.0.1:1/s3cret-path")
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1: ClientConnectorError") as caught:
        await connection.send([MAKER.heartbeat()])
    await connection.close()
    assert "s3cret-path" not in str(caught.value)


# -- chats --


async def test_slack_gets_text_that_calls_nobody(http: Any, connect: Connect) -> None:
    connection = connect(format="slack")
    await connection.send([MAKER.dialog("<!channel> run\n\x1b[31m rm & co?"), MAKER.heartbeat()])
    await connection.close()
    (seen,) = http.seen
    assert json.loads(seen.body) == {
        "text": "demo@mac1 asks: &lt;!channel&gt; run [31m rm &amp; co?\n    rm -r build\n    Yes, No"
    }


async def test_discord_parses_no_mention_and_long_texts_are_several_messages(http: Any, connect: Connect) -> None:
    connection = connect(format="discord")
    await connection.send([MAKER.dialog(f"@everyone {number} " + "x" * 5000) for number in range(10)])
    await connection.close()
    bodies = [json.loads(seen.body) for seen in http.seen]
    assert all(body["allowed_mentions"] == {"parse": []} and len(body["content"]) <= 2000 for body in bodies)
    assert 1 < len(bodies) < 10
    text = "\n".join(body["content"] for body in bodies)
    assert [f"@everyone {number} " in text for number in range(10)] == [True] * 10


async def test_ntfy_gets_plain_text_with_a_title(http: Any, connect: Connect) -> None:
    connection = connect({"T": "tk_1"}, format="ntfy", token=SecretRef(env="T"), events=["node", "heartbeat"])
    await connection.send([MAKER.heartbeat()])
    await connection.close()
    (seen,) = http.seen
    assert seen.body == b"mac1 lives, with 0 slots"
    assert (seen.headers["title"], seen.headers["authorization"]) == ("meshd mac1", "Bearer tk_1")


async def test_a_chat_is_not_told_twice_when_a_later_message_fails(http: Any, connect: Connect) -> None:
    connection = connect(format="discord")
    events = [MAKER.dialog(f"{number} " + "x" * 5000) for number in range(8)]
    http.answers += [204, 503]
    with pytest.raises(SinkBusy):
        await connection.send(events)
    await connection.send(events[:1])
    await connection.send(events[1:])
    await connection.close()
    told = [json.loads(seen.body)["content"] for seen in http.seen]
    assert "".join([told[0], *told[2:]]).count("asks:") == 8


async def test_nothing_to_tell_is_no_request(http: Any, connect: Connect) -> None:
    connection = connect(format="slack")
    await connection.send([MAKER.heartbeat(), MAKER.state()])
    await connection.close()
    assert http.seen == []


# -- selection --


async def test_a_slots_state_is_told_when_it_becomes_so_and_again_after_a_failure(http: Any, connect: Connect) -> None:
    connection = connect(events=["slot.idle"])
    first = MAKER.state()
    http.answers.append(503)
    with pytest.raises(SinkBusy):
        await connection.send([first])
    await connection.send([first])
    await connection.send([MAKER.state(queue=1), MAKER.state(queue=2)])
    await connection.send([other := MAKER.state("other")])
    await connection.close()
    assert [event_ids(seen.body) for seen in http.seen] == [[first.id], [first.id], [other.id]]


async def test_slots_are_chosen_by_glob_and_the_node_is_always_there(http: Any, connect: Connect) -> None:
    connection = connect(slots=["claude-*"])
    beat, mine = MAKER.heartbeat(), MAKER.dialog(slot="claude-1")
    await connection.send([beat, MAKER.dialog(slot="other"), mine])
    await connection.close()
    assert event_ids(http.seen[0].body) == [beat.id, mine.id]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"events": ["dialogs"]}, "events: 'dialogs': the type must be one of node, slot"),
        ({"events": ["dialog.open"]}, "events: 'dialog.open': after 'dialog.' may stand: closed, opened"),
        ({"events": ["heartbeat.x"]}, "may stand: none"),
        ({"url": "example.com/x"}, "not an http"),
        ({"url": "https://user:pw@example.com/x"}, "user name"),
        ({"url": "http://example.com/x"}, "plain http"),
        ({"url": "https://exa mple.com/"}, "not an http"),
        ({"url": "https://[::1"}, "is not a URL"),
        ({"format": "slack", "secret": SecretRef(env="S")}, "only json is signed"),
    ],
)
def test_what_can_not_work_is_an_error_of_the_configuration(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason.replace("(", r"\(")) as caught:
        WebhookOptions(**({"url": "https://example.com/x"} | options))
    assert "pw" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://localhost:1/x", "http://[::1]:2/", "http://127.9.9.9/", "https://example.com"])
def test_loopback_needs_no_tls(url: str) -> None:
    assert WebhookOptions(url=url)
    assert WebhookOptions(url="http://example.com", insecure=True)


# -- conformance --


class HookReceiver(Receiver):
    def __init__(self, http: Any) -> None:
        self._http = http
        self.secret = SECRET
        self.options = WebhookOptions(url=http.url, secret=SecretRef(env="S"), token=SecretRef(env="T"))

    def ids(self) -> list[str]:
        taken = [seen for seen in self._http.seen if seen.status < 300]
        assert all(Webhook(SECRET).verify(seen.body, seen.headers) for seen in taken)
        return [id for seen in taken for id in event_ids(seen.body)]

    def fail(self) -> None:
        self._http.status = 503

    def mend(self) -> None:
        self._http.status = 204


class TestConformance(SinkConformance):
    @pytest.fixture(autouse=True)
    def _server(self, make_http: Any) -> None:
        self.make_http = make_http

    def sink(self) -> FleetSink:
        return WebhookSink()

    @contextmanager
    def receiver(self, folder: Path) -> Iterator[Receiver]:
        http = self.make_http()
        try:
            yield HookReceiver(http)
        finally:
            http.close()
