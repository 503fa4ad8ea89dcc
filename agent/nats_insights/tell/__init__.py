"""The messages that are published and answered, without NATS."""
