"""Request replies from the servers, within bounds, and find out which did not answer."""
