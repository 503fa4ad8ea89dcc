"""The agent: its epochs, which agent leads, and what is published."""
