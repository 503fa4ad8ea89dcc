"""What can go wrong, as one tree.

InsightsError              one sentence that says what to do; the commands print it and exit 3
├── ConfigError            a key, a value or a file of the configuration is wrong
├── ConnectError           no connection to the system, or not one that can see it
├── RequestError           a running agent did not answer a query, or refused it
├── StateError             the state of an agent cannot be read or written
├── JetStreamError         JetStream of an account is not there, or refuses a request
└── DeclarationError       a check or a fold is declared wrong; raised when it is imported
Missing                    a figure that this epoch does not have; the only one a check meets
├── NotTold                a figure that a server of this version does not send
└── TooSoon                a figure of the past that was not told often or long enough yet
"""

from __future__ import annotations

import traceback
from pathlib import Path


class InsightsError(Exception):
    """Something that the user can fix; its text is one sentence that says what to do."""


class ConfigError(InsightsError):
    """A key, a value or a file of the configuration is wrong."""


class ConnectError(InsightsError):
    """There is no connection to the system, or not one that can see it."""


class RequestError(InsightsError):
    """A running agent did not answer a query, or refused it."""


class StateError(InsightsError):
    """The state of an agent cannot be read or written; `lasting` where waiting does not help."""

    def __init__(self, sentence: str, *, lasting: bool = False) -> None:
        super().__init__(sentence)
        self.lasting = lasting


class JetStreamError(InsightsError):
    """JetStream of an account is not there, or refuses a request.

    `code` is its own, 0 if none; it is `lasting` where waiting does not help.
    """

    def __init__(self, sentence: str, code: int = 0, *, lasting: bool = False) -> None:
        super().__init__(sentence)
        self.code, self.lasting = code, lasting


class DeclarationError(InsightsError):
    """A check or a fold is declared wrong; raised when it is imported."""


class Missing(Exception):
    """A figure that this epoch does not have: what it is, and whose. Means unknown, never fine."""

    def __init__(self, what: str, whose: str) -> None:
        super().__init__(f"{what} of {whose}")
        self.what = what
        self.whose = whose


class NotTold(Missing):
    """A figure that a server of this version does not send: what it is, whose, and the version."""

    def __init__(self, what: str, whose: str, version: str) -> None:
        super().__init__(what, whose)
        self.args = (f"{what} of {whose}: not told by {version}",)


class TooSoon(Missing):
    """A figure of the past that was not told often or long enough yet: what it is, whose, and what
    it needs. Nothing failed: it comes with time.
    """

    def __init__(self, what: str, whose: str, needs: str) -> None:
        super().__init__(what, whose)
        self.needs = f"needs {needs}"
        self.args = (f"{what} of {whose}: {self.needs}",)


def place(error: BaseException) -> str:
    """What was raised, and where in the program: the name of the file and the line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"
