"""Users: what one user of an account holds on all servers together."""
