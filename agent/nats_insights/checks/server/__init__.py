"""Servers: limits of one server, and whether it answers."""
