"""What tests of slots share."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for while a prompt is typed comes soon, or not at all."""
    monkeypatch.setattr("meshd_core.slots.input_box._DRAWN_S", 0.1)
    monkeypatch.setattr("meshd_core.slots.input_box._ARRIVES_S", 0.3)
    monkeypatch.setattr("meshd_core.slots.typist._TAKEN_S", 0.1)
    monkeypatch.setattr("meshd_core.slots.tasks._AFTER_FAULT_S", 0.01)
