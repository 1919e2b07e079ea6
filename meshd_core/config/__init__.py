"""`meshd.toml`: its types, its reading with all errors at once, its places."""
