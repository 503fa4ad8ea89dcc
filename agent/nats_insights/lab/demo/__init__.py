"""The demo, on real servers or on a simulated fleet."""
