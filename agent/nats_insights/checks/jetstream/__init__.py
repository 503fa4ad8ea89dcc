"""Streams: their limits, replicas, mirrors and sources."""
