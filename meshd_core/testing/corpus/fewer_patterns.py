"""What is left of clean lines in a version whose screen has changed: some of a plugin's patterns for rows don't match.

How much of it a new version changes nobody knows. So one pattern after the other is left out, another one in each
recording, and all of them.
"""

import zlib
from collections.abc import Iterator

from msgspec.structs import fields, replace

from meshd_core.contracts.kinds import KindProfile, TranscriptRules
from meshd_core.slots.versions import profile_for_version


def fewer_patterns(profile: KindProfile, version: str, name: str) -> Iterator[KindProfile]:
    """`profile`, as it is for `version`, without one of its patterns for rows, which depends on `name` alone; and
    without any. Nothing if it has none.
    """
    profile = profile_for_version(profile, version)
    rules = profile.transcript
    patterns = [(field.name, index) for field in fields(rules) for index in range(len(getattr(rules, field.name)))]
    if not patterns:
        return
    where, index = patterns[zlib.crc32(name.encode()) % len(patterns)]
    kept = tuple(pattern for at, pattern in enumerate(getattr(rules, where)) if at != index)
    for changed in (replace(rules, **{where: kept}), TranscriptRules()):
        yield replace(profile, transcript=changed, variants=())
