"""What servers reply, endpoint by endpoint, and how it is read."""
