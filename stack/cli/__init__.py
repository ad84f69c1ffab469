"""The `tapstack` command and the daemon that it starts."""
