"""Which of a kind's data holds for the version of the agent that runs."""

import re

from msgspec.structs import asdict, replace
from packaging.specifiers import SpecifierSet

from meshd_core.contracts.kinds import KindProfile, Rule, Variant

_RELEASE = re.compile(r"v?(\d{1,9}(?:\.\d{1,9}){0,5})(?![\d.])", re.ASCII)


def covers(versions: str, version: str) -> bool:
    """Whether `version` is in the specifier set `versions`; the empty set covers all.

    Agents number by semantic versions: `1.2.0-nightly.7` counts as its release 1.2.0. What is no number at all is in no
    range.
    """
    release = _RELEASE.match(version)
    return not versions or (release is not None and SpecifierSet(versions).contains(release[1]))


def rule_holds(rule: Rule, version: str | None) -> bool:
    """Whether `rule` is used: also while the version is not known."""
    return version is None or covers(rule.versions, version)


def variants_for(profile: KindProfile, version: str | None) -> tuple[Variant, ...]:
    """The variants that hold: none while the version is not known."""
    if version is None:
        return ()
    return tuple(variant for variant in profile.variants if covers(variant.versions, version))


def profile_for_version(profile: KindProfile, version: str | None) -> KindProfile:
    """`profile` as it is for `version`: the parts of its variants put in. Its rules stay as they are."""
    for variant in variants_for(profile, version):
        parts = {name: part for name, part in asdict(variant).items() if name != "versions" and part is not None}
        profile = replace(profile, **parts)
    return profile
