"""What an agent's terminal says: the journal that keeps it, the filters and the emulator that read it."""
