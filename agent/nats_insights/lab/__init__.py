"""Real and simulated systems, for the demo and for tests. The agent knows nothing of them."""
