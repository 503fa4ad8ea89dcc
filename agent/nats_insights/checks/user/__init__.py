"""The family USER."""
