"""The routes by which a person takes a hand: keys, interrupt, answer, resize. Source: protocol section 3."""

import base64
import binascii

from meshd_core.errors import InvalidField
from meshd_core.http.routes import Call, NoQuery
from meshd_core.http.service import NodeService
from meshd_core.http.slots_api import SlotsApi
from meshd_core.types import (
    AnswerRequest,
    AnswerResult,
    InterruptRequest,
    KeysAnswer,
    KeysRequest,
    ResizeRequest,
    Size,
    Slot,
)


class ControlApi:
    """Handlers; `slots` knows which slot a path names and whether the caller reaches it."""

    def __init__(self, service: NodeService, slots: SlotsApi) -> None:
        self._service, self._slots = service, slots

    async def keys(self, call: Call[NoQuery, KeysRequest]) -> KeysAnswer:
        name, body = self._slots.slot_name(call), call.body
        if (body.keys is None) == (body.bytes_b64 is None):
            raise InvalidField("give either 'keys' or 'bytes_b64'", field="keys")
        if body.keys is not None:
            return await self._service.press(name, body.keys)
        return await self._service.send_bytes(name, _decoded(body.bytes_b64 or ""))

    async def interrupt(self, call: Call[NoQuery, InterruptRequest]) -> Slot:
        return await self._service.interrupt(self._slots.slot_name(call))

    async def answer(self, call: Call[NoQuery, AnswerRequest]) -> AnswerResult:
        return await self._service.answer(self._slots.slot_name(call), call.body)

    async def resize(self, call: Call[NoQuery, ResizeRequest]) -> Slot:
        size = Size(rows=call.body.rows, cols=call.body.cols)
        return await self._service.resize(self._slots.slot_name(call), size)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidField("'bytes_b64' is not base64", field="bytes_b64") from error
