"""All recordings of a corpus, replayed in each way that there is and scored."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from meshd_core.contracts.kinds import AgentKind, KindProfile
from meshd_core.slots.versions import profile_for_version, rule_holds
from meshd_core.testing.corpus.fewer_patterns import fewer_patterns
from meshd_core.testing.corpus.lines import LineScore, score_lines
from meshd_core.testing.corpus.recordings import AS_RECORDED, Profiles, Recording, Way, recordings, replayed
from meshd_core.testing.corpus.replay import UNKNOWN_VERSION
from meshd_core.testing.corpus.score import Score, score
from meshd_core.testing.corpus.state_score import StateScore


class Result(Struct, frozen=True):
    """One recording: scored with all that there is, by its screen alone, and as a version that the kind has no data of;
    None if that would be judged by the same rules. `fewer_patterns`: its lines without one of the
    kind's patterns for rows, and without any; empty if the model said nothing.
    """

    recording: Recording
    score: Score
    screen_only: Score
    unknown_version: StateScore | None
    fewer_patterns: tuple[LineScore, ...] = ()


def results(corpus: Path, kinds: Mapping[str, AgentKind], wanted: Iterable[str] = ()) -> list[Result]:
    """Replay and score. Raises ValueError for recordings that can't be read or have no kind."""
    profiles = Profiles(corpus, kinds)
    return [result(recording, profiles.of(recording.truth.cli)) for recording in recordings(corpus, wanted)]


def result(recording: Recording, profile: KindProfile) -> Result:
    def scored(way: Way) -> Score:
        return score(recording.truth, replayed(recording, profile, way))

    full = scored(AS_RECORDED)
    told = recording.truth.channel or recording.truth.records
    bare = scored(Way(channel=False)) if told else full
    differs = differs_by_version(profile, recording.truth.version)
    unknown = scored(Way(known=False)).states if differs else None
    fewer = fewer_patterns(profile, recording.truth.version, recording.name) if recording.truth.lines else ()
    lines = tuple(score_lines(recording.truth, replayed(recording, changed)) for changed in fewer)
    return Result(recording, full, bare, unknown, lines)


def differs_by_version(profile: KindProfile, version: str) -> bool:
    """Whether a version that the kind has no data of would be judged otherwise than `version`."""
    return profile_for_version(profile, version) != profile_for_version(profile, UNKNOWN_VERSION) or any(
        rule_holds(rule, version) != rule_holds(rule, UNKNOWN_VERSION) for rule in profile.rules
    )
