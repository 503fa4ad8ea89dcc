"""Account optimisation: what makes an account expensive for all servers."""
