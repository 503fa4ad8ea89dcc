"""Servers: versions, limits, health and certificates of servers, and whether they answer."""
