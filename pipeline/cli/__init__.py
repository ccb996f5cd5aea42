"""Command lines: flags, help, and the common start and end of all commands."""
