"""Consumers: what they deliver, and what waits for them."""
