"""Checks of our own: one per file, discovered, never listed."""
