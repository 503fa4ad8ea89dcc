"""The agent: one epoch after another, who leads, and what goes out."""
