"""Connections: clients that are slow, and connections that end."""
