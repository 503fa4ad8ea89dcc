"""What can go wrong, as one tree.

InsightsError              one sentence that says what to do; the commands print it and exit 3
├── ConfigError            a key, a value or a file of the configuration is wrong
├── ConnectError           no connection to the system, or not one that can see it
├── RequestError           a running agent did not answer a query, or refused it
└── DeclarationError       a check or a fold is declared wrong; raised when it is imported
Missing                    a figure that this epoch does not have; the only one a check meets
"""

from __future__ import annotations


class InsightsError(Exception):
    """Something that the person at the keyboard can mend; its text is one sentence."""


class ConfigError(InsightsError):
    """A key, a value or a file of the configuration is wrong."""


class ConnectError(InsightsError):
    """There is no connection to the system, or not one that can see it."""


class RequestError(InsightsError):
    """A running agent did not answer a query, or refused it."""


class DeclarationError(InsightsError):
    """A check or a fold is declared wrong; raised when it is imported."""


class Missing(Exception):
    """A figure that this epoch does not have: what it is, and whose. Means unknown, never fine."""

    def __init__(self, what: str, whose: str) -> None:
        super().__init__(f"{what} of {whose}")
        self.what = what
        self.whose = whose
