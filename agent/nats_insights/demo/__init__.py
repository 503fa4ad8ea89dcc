"""Real nats-servers on this machine, real clients, and the five founding findings shown live."""
