"""Changes: what somebody did to the system, for as long as it may matter."""
