"""The project's pages as fixtures."""

import pytest

from tests.docs.markdown import ROOT, Page


@pytest.fixture
def pages() -> dict[str, Page]:
    """All pages of the project, by their path from its root."""
    paths = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("plugins/*/README.md")]
    return {str(path.relative_to(ROOT)): Page(path, path.read_text()) for path in paths}


@pytest.fixture
def protocol(pages: dict[str, Page]) -> Page:
    return pages["docs/protocol.md"]
