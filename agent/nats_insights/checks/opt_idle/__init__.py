"""Idle resources: what costs money or care, and is hardly used."""
