"""A simulated fleet: one process that answers on a real system account as many servers."""
