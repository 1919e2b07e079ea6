"""The recordings of a corpus, and the kinds that they are replayed with."""

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from meshd_core.contracts.kinds import AgentKind, KindProfile
from meshd_core.testing.corpus.cast import CAST_SUFFIX, read_cast
from meshd_core.testing.corpus.replay import UNKNOWN_VERSION, Replay, replay
from meshd_core.testing.corpus.truth import TRUTH_SUFFIX, Truth, read_truth

KINDS_FILE = "kinds.toml"


class Recording(Struct, frozen=True):
    """One recording; `name` is `<cli>-<version>/<scenario>`."""

    name: str
    cast_path: Path
    truth: Truth

    @property
    def set_name(self) -> str:
        """`<cli>-<version>`."""
        return self.name.partition("/")[0]


def recordings(corpus: Path, wanted: Iterable[str] = ()) -> list[Recording]:
    """All recordings of `corpus`, or those whose name begins with one of `wanted`; by name.

    Raises ValueError for what is no recording, and if there is none.
    """
    prefixes = tuple(wanted)
    found = []
    for path in sorted(corpus.glob(f"*/*{TRUTH_SUFFIX}")):
        scenario = path.name.removesuffix(TRUTH_SUFFIX)
        name = f"{path.parent.name}/{scenario}"
        if prefixes and not name.startswith(prefixes):
            continue
        try:
            truth = read_truth(path)
        except (OSError, msgspec.MsgspecError) as error:
            raise ValueError(f"{path}: {error}") from error
        found.append(Recording(name, path.with_name(scenario + CAST_SUFFIX), truth))
    if not found:
        raise ValueError(f"{corpus}: no recording {' or '.join(prefixes)}".rstrip())
    return found


class Profiles:
    """The profile of each CLI: its kind's, or what the corpus's `kinds.toml` says: `cli = "path"` of a file with one
    `[[slots]]`, whose kind and options are used. Paths are relative to the corpus.
    """

    def __init__(self, corpus: Path, kinds: Mapping[str, AgentKind]) -> None:
        self._corpus, self._kinds = corpus, kinds
        path = corpus / KINDS_FILE
        self._files: dict[str, str] = tomllib.loads(path.read_text()) if path.exists() else {}

    def of(self, cli: str) -> KindProfile:
        """Raises ValueError for a CLI that no installed kind is for."""
        name, given = cli, {}
        if cli in self._files:
            slot = tomllib.loads((self._corpus / self._files[cli]).read_text())["slots"][0]
            name, given = slot["kind"], slot.get("options", {})
        kind = self._kinds.get(name)
        if kind is None:
            raise ValueError(f"no kind {name!r} is installed")
        options_type = kind.options_type()
        return kind.profile_for(None if options_type is None else msgspec.convert(given, options_type))


class Way(Struct, frozen=True):
    """One way to replay: with what the agent's channels reported or without; as its own version or an unknown one."""

    channel: bool = True
    known: bool = True


AS_RECORDED = Way()


def replayed(recording: Recording, profile: KindProfile, way: Way = AS_RECORDED) -> Replay:
    """Replay `recording`. Raises ValueError for what is no cast."""
    version = recording.truth.version if way.known else UNKNOWN_VERSION
    return replay(read_cast(recording.cast_path), recording.truth, profile, version, channel=way.channel)


def sets(found: Iterable[Recording]) -> Iterator[tuple[str, list[Recording]]]:
    """The recordings of each CLI version."""
    by_name: dict[str, list[Recording]] = {}
    for recording in found:
        by_name.setdefault(recording.set_name, []).append(recording)
    yield from by_name.items()
