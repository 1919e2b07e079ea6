"""Every error of the wire protocol: one class a code, facts as fields.

docs/errors.md is made from them: a docstring says when the error comes, then the way out. `status` is the HTTP status,
`hint` the way out in an answer. Messages never carry a secret or text from a terminal.
"""

from collections.abc import Mapping
from typing import ClassVar


class MeshdError(Exception):
    """Base of all errors that have a code on the wire."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    hint: str | None = None

    def __init__(self, message: str, *, hint: str | None = None, **details: object) -> None:
        super().__init__(message)
        self.message = message
        if hint is not None:
            self.hint = hint
        self.details: Mapping[str, object] = details


class InvalidJson(MeshdError):
    """The body is not JSON.

    Way out: Send valid UTF-8 JSON.
    """

    code, status = "invalid_json", 400


class InvalidRequest(MeshdError):
    """The request is malformed: headers, framing, too many query fields, a body that came too slowly.

    Way out: Mend the client.
    """

    code, status = "invalid_request", 400


class Unauthorized(MeshdError):
    """No credential, or one that is wrong, expired or revoked.

    Way out: Send `Authorization: Bearer <token>`; `meshd token create` makes one.
    """

    code, status = "unauthorized", 401
    hint = "send 'Authorization: Bearer <token>'; 'meshd token create' makes one"


class Forbidden(MeshdError):
    """The scope is too small, a plugin refuses the prompt, or an agent uses the local socket.

    Way out: Use a token of the scope in `details.needed`.
    """

    code, status = "forbidden", 403


class OriginNotAllowed(MeshdError):
    """A web page of another origin asks.

    Way out: Add it to `http.allowed_origins` if it should.
    """

    code, status = "origin_not_allowed", 403


class NotProxied(MeshdError):
    """Keys, interrupts, lifecycle, size and attaching of a slot on another node.

    Way out: Ask that node: `details.url`; `meshd login <node>` keeps a token of it.
    """

    code, status = "not_proxied", 403


class NotFound(MeshdError):
    """No such path, or no such token.

    Way out: See `GET /openapi.json`, `meshd token list`.
    """

    code, status = "not_found", 404


class SlotNotFound(MeshdError):
    """No such slot, or the token doesn't reach it.

    Way out: `meshd ls`.
    """

    code, status = "slot_not_found", 404

    def __init__(self, slot: str, nearest: str | None = None, *, hint: str | None = None) -> None:
        name, at, node = slot.partition("@")
        where, everything = (f"on node {node!r}", "ls --mesh") if at else ("here", "ls")
        hint = hint or (f"did you mean {nearest!r}?" if nearest else f"'meshd {everything}' lists the slots")
        super().__init__(f"there is no slot {name!r} {where}", hint=hint, slot=slot)


class NodeNotFound(MeshdError):
    """The address, or a selection's `node`, names a node that this one doesn't know.

    Way out: `meshd nodes` lists those that it knows.
    """

    code, status = "node_not_found", 404


class InjectNotFound(MeshdError):
    """No such receipt; they are kept for 24 h after their end.

    Way out: Use an id that this node gave.
    """

    code, status = "inject_not_found", 404

    def __init__(self) -> None:
        # The same words for one that is out of reach and one that never was: they must not be told apart.
        super().__init__("there is no receipt with this id", hint="receipts are kept for 24 hours")


class MethodNotAllowed(MeshdError):
    """The path has other methods.

    Way out: See the `Allow` header.
    """

    code, status = "method_not_allowed", 405


class SlotNotRunning(MeshdError):
    """The slot has no agent.

    Way out: `meshd start <slot>`.
    """

    code, status = "slot_not_running", 409


class SlotAlreadyRunning(MeshdError):
    """It runs already.

    Way out: Nothing, or `POST /restart/{slot}`.
    """

    code, status = "slot_already_running", 409


class SlotRemoved(MeshdError):
    """The configuration has the slot no more, but its agent still runs.

    Way out: Put it back and reload, or `meshd stop <slot>`.
    """

    code, status = "slot_removed", 409

    def __init__(self, slot: str) -> None:
        hint = "put it back into meshd.toml and reload, or stop it"
        super().__init__(f"slot {slot} is no longer in the configuration", hint=hint, slot=slot)


class SlotsStillRunning(MeshdError):
    """A reload would remove slots whose agents run; `details.slots` names them.

    Way out: Stop them, or reload with `stop_removed`.
    """

    code, status = "slots_still_running", 409


class SlotBusy(MeshdError):
    """`when: "now"` and the agent isn't idle; `details.activity` says what it does.

    Way out: `when: "idle"` queues.
    """

    code, status = "slot_busy", 409


class SlotWaiting(MeshdError):
    """`now` or `steer`, and the agent waits for a person.

    Way out: Answer it, or `when: "idle"`.
    """

    code, status = "slot_waiting", 409


class NoIdleSlot(MeshdError):
    """No slot that matches the selection is idle, or took the prompt; `details.matching` counts the running ones.

    Way out: `when: "idle"` queues; `meshd ls --mesh`.
    """

    code, status = "no_idle_slot", 409


class HumanTyping(MeshdError):
    """`now` or `steer`, and a person typed into this slot within the last 15 s.

    Way out: `when: "idle"` queues; or try again after `details.retry_after_s`.
    """

    code, status = "human_typing", 409


class DialogChanged(MeshdError):
    """The dialog to be answered is not open any more, or is being answered.

    Way out: Read the one that is open: `details.open`.
    """

    code, status = "dialog_changed", 409


class InjectNotCancellable(MeshdError):
    """The prompt is being typed, or has ended.

    Way out: Read the receipt.
    """

    code, status = "inject_not_cancellable", 409


class TooLarge(MeshdError):
    """A body past 1 MiB, a prompt past 256 KiB, headers past 32 KiB.

    Way out: Send less.
    """

    code, status = "too_large", 413


class JsonRequired(MeshdError):
    """The body is not declared as JSON, or is compressed.

    Way out: `Content-Type: application/json`.
    """

    code, status = "json_required", 415
    hint = "send the body as JSON with 'Content-Type: application/json'"


class HostNotAllowed(MeshdError):
    """The Host header names somebody else.

    Way out: Add the name to `http.allowed_hosts`.
    """

    code, status = "host_not_allowed", 421
    hint = "add the name to http.allowed_hosts in meshd.toml if clients should use it"


class InvalidField(MeshdError):
    """A field is missing, unknown, of the wrong type or out of range.

    Way out: The message names it.
    """

    code, status = "invalid_field", 422


class ConfigInvalid(MeshdError):
    """The configuration file is not right; `details.problems` lists all that is wrong: `{place, reason, hint}`.

    Way out: Mend the file; `meshd config check` says the same.
    """

    code, status = "config_invalid", 422


class IdempotencyMismatch(MeshdError):
    """The key was used for another request.

    Way out: Use a new key.
    """

    code, status = "idempotency_mismatch", 422


class QueueFull(MeshdError):
    """100 prompts wait for this slot.

    Way out: Wait, or cancel some.
    """

    code, status = "queue_full", 429


class TooManyFailures(MeshdError):
    """Too many wrong credentials from this address.

    Way out: Wait for `Retry-After`; a good credential still works.
    """

    code, status = "too_many_failures", 429


class Internal(MeshdError):
    """A fault in meshd or in a plugin; never a stack trace.

    Way out: The daemon's log has the request id.
    """

    code, status = "internal", 500


class NotSupported(MeshdError):
    """This kind or this node can't do that.

    Way out: See the message.
    """

    code, status = "not_supported", 501


class Draining(MeshdError):
    """The daemon is ending.

    Way out: Try again once it is back.
    """

    code, status = "draining", 503


class Overloaded(MeshdError):
    """A full disk, or too many connections.

    Way out: Free space, or try again.
    """

    code, status = "overloaded", 503


class PeerError(MeshdError):
    """Another node can't be reached, refuses this one, or answers nonsense; `details.sent` false: nothing can have
    reached it.

    Way out: `meshd nodes check`.
    """

    code, status = "peer_error", 502


class PeerTimeout(MeshdError):
    """Another node did not answer in time; `details.sent` as for `peer_error`.

    Way out: Try again; `meshd nodes check`.
    """

    code, status = "peer_timeout", 504


class LoopDetected(MeshdError):
    """A request that came through a node names a slot of yet another node, or came back.

    Way out: Name the slot's own node to a node that knows it.
    """

    code, status = "loop_detected", 508


class StartFailed(MeshdError):
    """The agent can't be started: no program, no folder, a plugin that failed.

    Way out: The message and hint say what is missing.
    """

    code, status = "start_failed", 409
