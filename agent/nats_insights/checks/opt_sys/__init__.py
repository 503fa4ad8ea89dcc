"""The system as a whole: habits and conditions that cost something or break later."""
