"""The pages that come from the code are as the code is now, and say something about everything."""

import pytest

from docs.generate.errors_page import classes
from docs.generate.pages import PAGES, DistributionMissing, rendered
from meshd_core.config.described import keys_of, meanings_of
from meshd_core.config.model import AuthSection, DeliverySection, HttpSection, NodeSection, PeerSection, SlotSection
from meshd_core.exit_codes import ExitCode
from tests.docs.markdown import Page, rows


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_as_the_code_is_now(name: str, pages: dict[str, Page]) -> None:
    try:
        text = rendered(name)
    except DistributionMissing as error:
        pytest.skip(f"the page tells of every plugin of this repository: {error}")
    assert pages[f"docs/{name}"].text == text, "stale: run 'make docs'"


def test_every_error_says_when_it_comes_and_the_way_out(pages: dict[str, Page]) -> None:
    described = {row[0]: row for row in rows(pages["docs/errors.md"].section("On the wire"))}
    assert set(described) == {error.code for error in classes()}
    assert [code for code, row in described.items() if len(row) != 4 or min(map(len, row[2:])) < 5] == []


def test_every_exit_code_has_a_meaning(pages: dict[str, Page]) -> None:
    described = {row[1].strip("`"): int(row[0]) for row in rows(pages["docs/errors.md"].section("Exit codes"))}
    assert described == {name: value for name, value in vars(ExitCode).items() if name.isupper()}
    assert all(len(row[2]) > 5 for row in rows(pages["docs/errors.md"].section("Exit codes")))


@pytest.mark.parametrize("kind", [NodeSection, SlotSection, PeerSection, AuthSection, HttpSection, DeliverySection])
def test_every_key_of_core_has_a_meaning(kind: type) -> None:
    assert {key.name for key in keys_of(kind)} == set(meanings_of(kind))
