"""Service: micro services of applications, and their instances."""
