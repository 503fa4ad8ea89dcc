"""What is wrong, and since when: checks, their parameters, and the life of findings."""
