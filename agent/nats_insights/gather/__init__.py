"""Ask the servers, within bounds, and know who did not answer."""
