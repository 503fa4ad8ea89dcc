"""The family AGENT."""
