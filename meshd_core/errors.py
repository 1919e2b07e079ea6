"""Every error of the wire protocol: one class a code, facts as fields.

Source: docs/protocol.md section 9. `status` is the HTTP status, `hint` the way out. Messages never carry a secret or
text from a terminal.
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
    code, status = "invalid_json", 400


class InvalidRequest(MeshdError):
    code, status = "invalid_request", 400


class Unauthorized(MeshdError):
    code, status = "unauthorized", 401
    hint = "send 'Authorization: Bearer <token>'; 'meshd token create' makes one"


class Forbidden(MeshdError):
    code, status = "forbidden", 403


class OriginNotAllowed(MeshdError):
    code, status = "origin_not_allowed", 403


class NotProxied(MeshdError):
    """What only a slot's own node does: whoever wants it asks that node, with a credential of that node."""

    code, status = "not_proxied", 403


class NotFound(MeshdError):
    code, status = "not_found", 404


class SlotNotFound(MeshdError):
    code, status = "slot_not_found", 404

    def __init__(self, slot: str, nearest: str | None = None) -> None:
        hint = f"did you mean {nearest!r}?" if nearest else "'meshd ls' lists the slots"
        super().__init__(f"there is no slot {slot!r} here", hint=hint, slot=slot)


class NodeNotFound(MeshdError):
    code, status = "node_not_found", 404


class InjectNotFound(MeshdError):
    code, status = "inject_not_found", 404


class MethodNotAllowed(MeshdError):
    code, status = "method_not_allowed", 405


class SlotNotRunning(MeshdError):
    code, status = "slot_not_running", 409


class SlotAlreadyRunning(MeshdError):
    code, status = "slot_already_running", 409


class SlotRemoved(MeshdError):
    """The configuration has the slot no more; its agent still runs and can only be stopped."""

    code, status = "slot_removed", 409

    def __init__(self, slot: str) -> None:
        hint = "put it back into meshd.toml and reload, or stop it"
        super().__init__(f"slot {slot} is no longer in the configuration", hint=hint, slot=slot)


class SlotsStillRunning(MeshdError):
    """A reload would remove slots whose agents run."""

    code, status = "slots_still_running", 409


class SlotBusy(MeshdError):
    code, status = "slot_busy", 409


class SlotWaiting(MeshdError):
    code, status = "slot_waiting", 409


class NoIdleSlot(MeshdError):
    """No slot that matches a selection took the prompt: none is idle, or none could be asked."""

    code, status = "no_idle_slot", 409


class HumanTyping(MeshdError):
    """A person types into this slot's terminal: a prompt now would land in the middle of it."""

    code, status = "human_typing", 409


class DialogChanged(MeshdError):
    """The dialog that was to be answered is not the one that is open: it was answered, went away, or is another."""

    code, status = "dialog_changed", 409


class InjectNotCancellable(MeshdError):
    """A receipt that is being typed, or has ended, can't be cancelled."""

    code, status = "inject_not_cancellable", 409


class TooLarge(MeshdError):
    code, status = "too_large", 413


class JsonRequired(MeshdError):
    code, status = "json_required", 415
    hint = "send the body as JSON with 'Content-Type: application/json'"


class HostNotAllowed(MeshdError):
    code, status = "host_not_allowed", 421
    hint = "add the name to http.allowed_hosts in meshd.toml if clients should use it"


class InvalidField(MeshdError):
    code, status = "invalid_field", 422


class ConfigInvalid(MeshdError):
    """The configuration file is not right; `details.problems` has everything that is wrong."""

    code, status = "config_invalid", 422


class IdempotencyMismatch(MeshdError):
    code, status = "idempotency_mismatch", 422


class QueueFull(MeshdError):
    code, status = "queue_full", 429


class TooManyFailures(MeshdError):
    code, status = "too_many_failures", 429


class Internal(MeshdError):
    code, status = "internal", 500


class NotSupported(MeshdError):
    code, status = "not_supported", 501


class Draining(MeshdError):
    code, status = "draining", 503


class Overloaded(MeshdError):
    """The daemon can't take the request now: a full disk, too many connections."""

    code, status = "overloaded", 503


class PeerError(MeshdError):
    """Another node of the mesh can't be used. `details.sent` false: nothing of the request can have reached it."""

    code, status = "peer_error", 502


class PeerTimeout(MeshdError):
    """Another node did not answer in time; `details.sent` as for `peer_error`."""

    code, status = "peer_timeout", 504


class LoopDetected(MeshdError):
    """A request that came through a node may not go through another."""

    code, status = "loop_detected", 508


class StartFailed(MeshdError):
    """An agent could not be started: no such binary, no such folder, a kind that isn't installed."""

    code, status = "start_failed", 409


class ExitCode:
    """What `meshd serve` exits with; each cause its own, after sysexits where it has one.

    Source: sysexits.h (EX_*) and docs/protocol.md section 9.
    """

    OK = 0
    FAILURE = 1
    USAGE = 2
    NOT_REACHED = 69  # EX_UNAVAILABLE: no daemon answers (clients)
    PORT_IN_USE = 71  # EX_OSERR: an address can't be bound
    MISSING_BINARY = 72  # EX_OSFILE: the program of a slot that is to be started isn't there
    DISK_FULL = 73  # EX_CANTCREAT: the state directory can't be written
    KEEPER = 74  # EX_IOERR: the keeper can't be started or speaks another protocol
    ALREADY_RUNNING = 75  # EX_TEMPFAIL: another daemon holds this state
    PLUGIN = 76  # EX_PROTOCOL: a required plugin or auth provider can't load
    CONFIG = 78  # EX_CONFIG


class StartupError(Exception):
    """The daemon can't start: one clear message and the exit code that names the cause."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code
