"""What tests of meshd and of its plugins run against: a demo agent, a fake model backend, homes for real CLIs.

Importing this package imports nothing: the demo agent starts in the time that the interpreter needs.
"""
