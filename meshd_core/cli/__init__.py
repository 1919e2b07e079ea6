"""The `meshd` command: thin over the typed client; only `serve` and `demo` load the daemon."""
