"""What goes through NATS: jobs, and what became of them."""

from bisect import bisect_right
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from meshd_core.api import Receipt

JobId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{1,100}\Z")]
"""A word that can stand in a subject. It is the Idempotency-Key of the prompt."""

State = Literal["taken", "done", "failed", "unknown", "refused", "lost"]
"""`done`: the agent's turn ended, or all that its kind can prove happened. `failed`: it will not happen, or the turn
ended with an error. `unknown`: it
was typed, at least in part, and nobody can know more. `refused`: not a job. `lost`: the node that took it is silent.
`taken` and `lost` are no ends."""

OUTCOMES: dict[str, State] = {
    "completed": "done", "failed": "failed", "expired": "failed", "cancelled": "failed", "unknown": "unknown",
}  # fmt: skip
"""By the stage that a receipt ended in."""


class Job(Struct, frozen=True, forbid_unknown_fields=True):
    """One prompt for any idle slot of a kind; the kind is in the subject."""

    id: JobId
    text: str


class JobReceipt(Struct, frozen=True):
    """What became of a job; the newest message of its subject counts."""

    job: str
    state: State
    node: str
    at: str
    slot: str | None = None
    claim: str = ""
    """Made by the node that took it: it alone may go on with the job."""
    receipt: Receipt | None = None
    error: str | None = None
    cut: bool = False
    """Whether the reply, or the whole receipt, is left out in part: a message would have been too large."""


def fitted(result: JobReceipt, limit: int) -> JobReceipt:
    """`result` as JSON of at most `limit` bytes: the end of the reply is cut, if need be the receipt left out."""
    receipt = result.receipt
    if receipt is None or len(msgspec.json.encode(result)) <= limit:
        return result

    def with_reply(reply: str | None) -> JobReceipt:
        return msgspec.structs.replace(result, receipt=msgspec.structs.replace(receipt, reply=reply), cut=True)

    reply = receipt.reply or ""
    fits = bisect_right(
        range(len(reply) + 1), limit, key=lambda count: len(msgspec.json.encode(with_reply(reply[:count])))
    )
    return with_reply(reply[: fits - 1]) if fits else msgspec.structs.replace(result, receipt=None, cut=True)


class Names(Struct, frozen=True):
    """Subjects and streams."""

    prefix: str

    @property
    def jobs(self) -> str:
        return f"{self.prefix.upper()}_JOBS"

    @property
    def results(self) -> str:
        return f"{self.prefix.upper()}_RESULTS"

    def job(self, kind: str) -> str:
        return f"{self.prefix}.jobs.{kind}"

    def result(self, job: str) -> str:
        return f"{self.prefix}.results.{job}"

    def consumer(self, kind: str) -> str:
        return "kind-" + kind.replace(".", "=")  # a kind's name may have dots, a consumer's must not
