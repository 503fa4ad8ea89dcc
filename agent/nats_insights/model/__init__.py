"""The system at one epoch, made of replies: what a check can be about."""
