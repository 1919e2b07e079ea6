"""What holds for all pages: links lead somewhere, and the layers are those that are enforced."""

import tomllib

from tests.docs.markdown import ROOT, Page


def test_links_between_pages_resolve(pages: dict[str, Page]) -> None:
    broken = []
    for name, page in pages.items():
        for link in page.links():
            if "://" in link:
                continue
            path, _, anchor = link.partition("#")
            target = (page.path.parent / path).resolve() if path else page.path
            if not target.exists():
                broken.append(f"{name}: {link}")
            elif anchor and anchor not in Page(target, target.read_text()).anchors():
                broken.append(f"{name}: {link} (no such heading)")
    assert not broken


def test_the_layers_of_the_architecture_page_are_the_enforced_ones(pages: dict[str, Page]) -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    shown = pages["docs/architecture.md"].code("text", "Layers")[0].strip().split("\n")
    assert [line.split("   ")[0].strip() for line in shown] == layers


def test_the_protocol_has_its_ten_sections(protocol: Page) -> None:
    numbered = [heading for heading in protocol.headings() if heading[0].isdigit()]
    assert [heading.partition(". ")[0] for heading in numbered] == [str(number) for number in range(1, 11)]


def test_no_page_is_wider_than_a_diff_can_show(pages: dict[str, Page]) -> None:
    """Prose only: tables may be longer, and code is as it is."""
    wide = [
        f"{name}: {line[:40]}"
        for name, page in pages.items()
        for line in page.prose().split("\n")
        if len(line) > 120 and not line.startswith("|") and not name.startswith("plugins/")
    ]
    assert not wide
