"""The plugin host: discovery, checks, isolation. Importing this package imports no plugin."""
