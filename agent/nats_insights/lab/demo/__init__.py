"""The story that the demo tells, on real servers or on a simulated fleet."""
