"""Connect to a NATS system, stay connected, and know as whom."""
