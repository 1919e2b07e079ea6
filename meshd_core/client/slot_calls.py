"""The calls that look at slots and act on them. Source: docs/protocol.md section 3.

A slot is named `slot`, or `slot@node` for one of another node.
"""

from __future__ import annotations  # half the time that importing this takes

import base64
import os
from collections.abc import Iterable

from meshd_core.client.call import Call, delete, get, part, path, post, typed
from meshd_core.errors import InvalidField
from meshd_core.types import (
    IDEMPOTENCY_KEY,
    AnswerRequest,
    AnswerResult,
    InjectRequest,
    InterruptRequest,
    KeysAnswer,
    KeysRequest,
    MessagePage,
    OutputPage,
    Receipt,
    ResizeRequest,
    RestartRequest,
    Screen,
    Slot,
    SlotDetail,
    SlotList,
    StartRequest,
    StopRequest,
)

LIFECYCLE_WAIT_S = 105.0
"""How much longer than other calls a start or stop may take: an agent may use up each of its graces."""


def slots(
    *, kind: str | None = None, status: str | None = None, activity: str | None = None, labels: Iterable[str] = ()
) -> Call[list[Slot]]:
    """The slots that match every filter given; `labels` as `key:value`."""
    query = {"kind": kind, "status": status, "activity": activity, "label": list(labels)}
    return get("/slots", part(SlotList, lambda found: found.slots), query)


def slot(
    name: str, *, wait_for: Iterable[str] = (), wait_s: float | None = None, explain: bool = False
) -> Call[SlotDetail]:
    """One slot; with `wait_for` (activities or statuses) once it is so, or as it is after `wait_s` seconds.

    `explain` asks for `SlotDetail.explain`: why its activity is what it is, why its next prompt is not typed.
    """
    query = {"wait_for": ",".join(wait_for) or None, "wait_s": wait_s, "explain": 1 if explain else None}
    return get(path("slots", name), typed(SlotDetail), query, wait_s=wait_s or 0.0)


def start(name: str, *, resume: bool = False) -> Call[Slot]:
    """Start the slot's agent; `resume` continues its last conversation where the kind can."""
    return post(path("start", name), typed(Slot), StartRequest(resume=resume), wait_s=LIFECYCLE_WAIT_S)


def stop(name: str, *, grace_s: float | None = None) -> Call[Slot]:
    """Stop the slot's agent; `grace_s`: seconds for each step before the next, default the kind's own."""
    return post(path("stop", name), typed(Slot), StopRequest(grace_s=grace_s), wait_s=_patience_s(grace_s))


def restart(name: str, *, resume: bool = False, grace_s: float | None = None) -> Call[Slot]:
    """Stop, then start."""
    body = RestartRequest(resume=resume, grace_s=grace_s)
    return post(path("restart", name), typed(Slot), body, wait_s=_patience_s(grace_s))


def inject(name: str, request: InjectRequest, *, key: str | None = None) -> Call[Receipt]:
    """Have a prompt typed; returns once `request.until` is reached, the receipt ended, or `timeout_s` passed.

    With the same `key` (Idempotency-Key) the same prompt is never typed twice; without one, one is made up, so that a
    request repeated on a fresh connection is safe too.
    """
    return post(
        path("inject", name), typed(Receipt), request,
        wait_s=request.timeout_s, headers=idempotency(key), repeatable=True,
    )  # fmt: skip


def receipt(receipt_id: str) -> Call[Receipt]:
    """What became of a prompt."""
    return get(path("injects", receipt_id), typed(Receipt))


def cancel(receipt_id: str) -> Call[Receipt]:
    """Cancel a prompt that is still queued. Raises InjectNotCancellable once it is being typed."""
    return delete(path("injects", receipt_id), typed(Receipt))


def output(
    name: str, *, since: str | None = None, limit: int | None = None, wait_s: float | None = None
) -> Call[OutputPage]:
    """Lines after `since` (an event id or "oldest"); without it the newest `limit`. `wait_s`: long poll."""
    query = {"since": since, "limit": limit, "wait_s": wait_s}
    return get(path("output", name), typed(OutputPage), query, wait_s=wait_s or 0.0)


def screen(name: str) -> Call[Screen]:
    """What a person would see now."""
    return get(path("screen", name), typed(Screen))


def messages(name: str, *, before: str | None = None, limit: int | None = None) -> Call[MessagePage]:
    """The conversation of the present run, oldest first: the newest `limit` messages, or those before the one that
    `before` names (a page's own `before`, for the page before it).
    """
    return get(path("messages", name), typed(MessagePage), {"before": before, "limit": limit})


def keys(name: str, names: Iterable[str]) -> Call[KeysAnswer]:
    """Press keys, named as `Escape`, `C-c`, `Enter`; any other single character stands for itself."""
    return post(path("keys", name), typed(KeysAnswer), KeysRequest(keys=list(names)))


def raw_keys(name: str, data: bytes) -> Call[KeysAnswer]:
    """Write `data` to the terminal as it is."""
    return post(path("keys", name), typed(KeysAnswer), KeysRequest(bytes_b64=base64.b64encode(data).decode()))


def interrupt(name: str) -> Call[Slot]:
    """Stop the agent's current turn the way its kind does it."""
    return post(path("interrupt", name), typed(Slot), InterruptRequest())


def answer(name: str, dialog_id: str, choice: str) -> Call[AnswerResult]:
    """Answer the dialog that the slot waits on with the id of one of its options, or `deny`.

    Raises DialogChanged if that dialog isn't open any more.
    """
    return post(path("answer", name), typed(AnswerResult), AnswerRequest(dialog_id=dialog_id, choice=choice))


def resize(name: str, rows: int, cols: int) -> Call[Slot]:
    """Change the size of the slot's terminal."""
    return post(path("resize", name), typed(Slot), ResizeRequest(rows=rows, cols=cols), repeatable=True)


def idempotency(key: str | None) -> dict[str, str]:
    """The header that keeps a prompt from being typed twice. Raises InvalidField for a key that can't be one."""
    if key is not None and IDEMPOTENCY_KEY.fullmatch(key) is None:
        raise InvalidField(
            "an idempotency key is 1 to 200 printable ASCII characters without blanks", field="Idempotency-Key"
        )
    return {"Idempotency-Key": key or os.urandom(16).hex()}


def _patience_s(grace_s: float | None) -> float:
    return LIFECYCLE_WAIT_S + 3 * (grace_s or 0.0)
