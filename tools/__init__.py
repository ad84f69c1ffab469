"""The project's own tools; each runs as tools/NAME."""
