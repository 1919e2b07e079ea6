"""What an answer means: by its code first, and never with a credential in what is shown."""

import time
from email.utils import formatdate

import msgspec
import pytest
from meshd_supabase.answers import MAX_RETRY_AFTER_S, judge, not_postgrest

from meshd_core.api import SinkBusy, SinkPaused, SinkRejected

TOKEN = "eyJ.tok.en"


def judged(status: int, code: str | None = None, message: str = "no", retry: str | None = None) -> Exception:
    body = msgspec.json.encode({"code": code, "message": message, "details": None, "hint": None})
    return judge(status, retry, body, "http://db/rest/v1/meshd_slots", (TOKEN,))


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "PGRST303", SinkPaused),  # expired
        (401, "PGRST301", SinkPaused),  # bad signature
        (401, "42501", SinkPaused),  # publishable key only
        (403, "42501", SinkPaused),  # another node's rows
        (404, "PGRST205", SinkPaused),  # no table
        (400, "PGRST204", SinkPaused),  # no column
        (406, "PGRST106", SinkPaused),  # schema not exposed
        (400, "42P10", SinkPaused),  # no unique constraint
        (404, "42P01", SinkPaused),
        (400, "PGRST102", SinkRejected),
        (400, "21000", SinkRejected),  # lite
        (500, "21000", SinkRejected),  # hosted: an endless retry by its status
        (400, "22P05", SinkRejected),
        (400, "22P02", SinkRejected),
        (400, "23514", SinkRejected),  # hosted: a CHECK
        (409, "23505", SinkRejected),
        (400, "P0001", SinkRejected),
        (405, "25006", SinkBusy),  # hosted: read only because the disk is full
        (500, "57014", SinkBusy),  # statement timeout
        (500, "40001", SinkBusy),
        (503, "PGRST000", SinkBusy),
        (503, "53300", SinkBusy),
        (401, None, SinkPaused),
        (403, None, SinkPaused),
        (301, None, SinkPaused),
        (404, None, SinkPaused),
        (402, None, SinkPaused),
        (400, None, SinkRejected),
        (413, None, SinkRejected),
        (422, None, SinkRejected),
        (408, None, SinkBusy),
        (429, None, SinkBusy),
        (500, "SUP", SinkBusy),
        (502, None, SinkBusy),
        (540, None, SinkBusy),  # hosted: the project is paused
    ],
)
def test_each_answer_is_what_it_is(status: int, code: str | None, kind: type[Exception]) -> None:
    error = judged(status, code)
    assert type(error) is kind
    assert str(status) in str(error)
    assert code is None or code in str(error)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [(None, None), ("7", 7.0), ("0", 0.0), ("999999", MAX_RETRY_AFTER_S), ("soon", None), ("-1", None), ("", None)],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    error = judged(429, retry=header)
    assert isinstance(error, SinkBusy)
    assert error.retry_after_s == seconds


def test_retry_after_as_a_date() -> None:
    error = judged(503, retry=formatdate(time.time() + 60, usegmt=True))
    assert isinstance(error, SinkBusy)
    assert error.retry_after_s == pytest.approx(60, abs=3)
    past = judged(503, retry=formatdate(time.time() - 60, usegmt=True))
    assert isinstance(past, SinkBusy)
    assert past.retry_after_s == 0


def test_what_the_other_side_says_is_shown_short_on_one_line_without_credentials() -> None:
    for status in (401, 400, 500):
        shown = str(judged(status, message=f"bad\r\n\x1b[31mtoken {TOKEN} " + "x" * 5000))
        assert TOKEN not in shown
        assert "<secret>" in shown
        assert shown.isprintable()
        assert len(shown) < 700


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"7", b'{"code": 5}', b"\xff\xfe", b'{"code": null}', b'{"message": ["x"]}']
)
def test_a_body_that_is_no_error_of_postgrest_leaves_the_status(body: bytes) -> None:
    assert type(judge(502, None, body, "x", ())) is SinkBusy
    assert type(judge(400, None, body, "x", ())) is SinkRejected


def test_a_success_that_is_not_postgrests_is_none() -> None:
    assert isinstance(not_postgrest(200, "http://db"), SinkPaused)
