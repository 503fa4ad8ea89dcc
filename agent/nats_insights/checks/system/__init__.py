"""System: the servers that there should be."""
