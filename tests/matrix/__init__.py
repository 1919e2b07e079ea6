"""The matrix of installations: core alone, core and each plugin, everything, everything but each plugin."""
