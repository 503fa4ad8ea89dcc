"""One check per file, discovered, never listed."""
