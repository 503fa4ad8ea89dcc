"""Balance: load that could be spread better over the servers of a cluster."""
