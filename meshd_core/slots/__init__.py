"""Slots: one agent's process, its output, what it is doing, and the prompts that are typed into it."""
