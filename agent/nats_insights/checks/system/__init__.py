"""The family SYSTEM."""
