"""The static mesh: the node table, peers, fan-out and dispatch."""
