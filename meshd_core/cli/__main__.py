"""`python -m meshd_core.cli` is `meshd`."""

from meshd_core.cli.main import main

main()
