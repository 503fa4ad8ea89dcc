"""Placement: what would be better off in another cluster."""
