"""Makes the pages that come from the code: `make docs`, or `python -m docs.generate`. `--check` only compares."""
