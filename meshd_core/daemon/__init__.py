"""The daemon: wires every layer, owns the tasks, the signals and the HTTP server."""
