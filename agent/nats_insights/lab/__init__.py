"""Real and simulated systems, for the demo and for tests. The agent does not import it."""
