"""A profile without some of its patterns for rows."""

from meshd_core.contracts.kinds import KindProfile, TranscriptRules, Variant
from meshd_core.testing.corpus.fewer_patterns import fewer_patterns


def _profile(transcript: TranscriptRules) -> KindProfile:
    return KindProfile(
        name="demo", title="Demo", commands=("demo",), install_hint="none",
        variants=(Variant(">=2", transcript=transcript),),
    )  # fmt: skip


def _count(rules: TranscriptRules) -> int:
    return len(rules.live) + len(rules.drop) + len(rules.strip) + len(rules.echo)


def test_one_pattern_is_left_out_and_then_all_of_them() -> None:
    rules = TranscriptRules(live=("a", "b"), drop=("c",), echo=("d",))
    left_out = set()
    for scenario in map(str, range(50)):
        one, none = fewer_patterns(_profile(rules), "2.1", scenario)
        assert (_count(one.transcript), one.variants, none.transcript) == (3, (), TranscriptRules())
        left_out.add(one.transcript)
    assert len(left_out) == 4


def test_what_has_no_patterns_has_no_fewer() -> None:
    assert list(fewer_patterns(_profile(TranscriptRules(live=("a",))), "1.0", "any")) == []
