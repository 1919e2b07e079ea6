"""What kinds share in reading an agent's own records: logs of JSON lines, turns in them, open files, packages."""
