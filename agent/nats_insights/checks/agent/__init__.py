"""Agent: what keeps the agent itself from seeing the system."""
