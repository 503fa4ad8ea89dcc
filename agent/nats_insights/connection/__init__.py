"""Connect to a NATS system, stay connected, and identify the user."""
