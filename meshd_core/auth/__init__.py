"""Who calls: bearer tokens, the built-in providers, and the chain that asks them in order."""
