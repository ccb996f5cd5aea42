"""Command lines: flags, help, and the one way in which every command starts and ends."""
