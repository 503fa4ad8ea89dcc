"""The family SERVER."""
