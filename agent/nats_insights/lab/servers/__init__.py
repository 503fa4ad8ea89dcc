"""Real nats-servers and real clients on this machine."""
