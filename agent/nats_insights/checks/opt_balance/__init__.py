"""The family OPT_BALANCE."""
