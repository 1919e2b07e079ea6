"""The typed Python client: every route of the protocol as a method, and a stream that resumes by itself."""

from meshd_core.client.answers import BadAnswer, Unreachable
from meshd_core.client.api import MeshdClient
from meshd_core.client.events import Event

__all__ = ["BadAnswer", "Event", "MeshdClient", "Unreachable"]
