"""Write the generated pages, or with `--check` say which of them are stale."""

import sys
from pathlib import Path

from docs.generate.pages import PAGES, DistributionMissing, rendered

DOCS = Path(__file__).parents[1]


def main() -> int:
    """The exit code."""
    stale = []
    for name in PAGES:
        try:
            text = rendered(name)
        except DistributionMissing as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 2
        path = DOCS / name
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            path.write_text(text)
            print(f"wrote {path}")
    if stale and "--check" in sys.argv:
        print(f"stale: {', '.join(stale)}; run: make docs", file=sys.stderr)
        return 1
    return 0


sys.exit(main())
