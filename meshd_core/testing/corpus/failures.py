"""What a score tells of each thing that went wrong."""

from msgspec import Struct


class Failure(Struct, frozen=True):
    """One thing that was not as it should be. `rule`: who said what was got."""

    what: str
    at: float
    expected: str
    got: str
    rule: str = ""
