"""Accounts: what happens to the clients of an account, on all servers together."""
