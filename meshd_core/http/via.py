"""Which nodes a request came through, and whom it claims to speak for. Both are claims: they only ever take rights away
or stand in a log.
"""

import re
from urllib.parse import quote, unquote

import msgspec

from meshd_core.contracts.auth import Principal
from meshd_core.errors import LoopDetected
from meshd_core.http.exchange import Exchange

SUBJECT_HEADER = "Meshd-Subject"
PEER_LABEL = "peer:"
"""Tokens that are made for a node are labelled so: `peer:<its name>`."""
_MAX_SUBJECT = 300
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


def hops(exchange: Exchange) -> list[str]:
    """The nodes that the request passed, as it says."""
    return [name.strip() for name in exchange.headers.get("meshd-via", "").split(",") if name.strip()]


def check_via(exchange: Exchange, own: str) -> None:
    """Raises LoopDetected for a request that was here before, or came through more than one node."""
    passed = hops(exchange)
    if own in passed or len(passed) > 1:
        raise LoopDetected("this request went through more than one node, or came back", own=own)


def require_direct(exchange: Exchange) -> None:
    """Raises LoopDetected if the request came through a node: it may not go to yet another."""
    if hops(exchange):
        hint = "name the slot's own node, to a node that knows it"
        raise LoopDetected("a request that came through a node does not go to another", hint=hint)


def subject_claim(principal: Principal) -> dict[str, str]:
    """The header that tells another node for whom it is asked."""
    return {SUBJECT_HEADER: quote(principal.subject, safe=":@/+ ")[:_MAX_SUBJECT]}


def entered_by(exchange: Exchange, principal: Principal) -> tuple[Principal, str | None]:
    """Whose a prompt is, and the ULID that an entry node gave its receipt.

    A prompt that came through a node is its caller's, whichever node that was: so the caller's Idempotency-Key holds
    through all of them. Such keys are kept apart from those of callers that this node knows itself.
    """
    subject = claimed_subject(exchange, principal)
    if subject is not None:
        principal = msgspec.structs.replace(principal, id=f"mesh:{subject}")
    wanted = exchange.headers.get("meshd-receipt", "")
    return principal, wanted if hops(exchange) and _ULID.fullmatch(wanted) else None


def claimed_subject(exchange: Exchange, principal: Principal) -> str | None:
    """For whom a node says to ask; None unless the credential is one that was made for a node."""
    claim = exchange.headers.get("meshd-subject")
    if claim is None or not principal.subject.startswith(f"token:{PEER_LABEL}"):
        return None
    text = unquote(claim[:_MAX_SUBJECT])
    return text if text.isprintable() else repr(text)
