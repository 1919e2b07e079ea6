"""Pseudo-terminals: the keeper that holds them, the client that talks to it, and one master's input and output."""
