"""A state file: a store that is one file on the disk, private and replaced at one stroke."""

from __future__ import annotations

import asyncio
import fcntl
import os
import stat
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from nats_insights.errors import StateError

_PRIVATE = 0o600


class StateFile:
    """What one agent keeps, in the file `path`, readable by nobody else.

    A new content is written beside it, to `path` with `.new` appended, brought to the disk, and
    renamed. A symbolic link to it stays one.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(os.path.realpath(path))
        self._lock = -1

    @property
    def where(self) -> str:
        return str(self.path)

    @property
    def beside(self) -> StateFile:
        """The file for the past."""
        return StateFile(self._named("past"))

    def look(self) -> None:
        """StateError if a file cannot be kept at this place; nothing is changed."""
        with suppress(OSError):  # There is none yet, or the directory tells.
            if not stat.S_ISREG(self.path.stat().st_mode):
                raise StateError(f"cannot keep the state in {self.path}: it is not a file")
        directory = self.path.parent
        if not directory.exists():
            raise StateError(f"the directory {directory} does not exist: create it for the state")
        if not directory.is_dir():
            raise StateError(f"cannot keep the state in {self.path}: {directory} is no directory")
        if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
            raise StateError(f"cannot keep the state in {self.path}: its directory is not writable")

    def lock(self) -> None:
        """Refuse every other agent this file, until this process ends.

        StateError if another one has it, or if a file cannot be kept at this place.
        """
        self.look()
        try:
            self._lock = os.open(
                self._named("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE
            )
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.unlock()
            raise StateError(
                f"another agent uses the state {self.path}: give each agent a file of its own"
            ) from None
        except OSError as error:
            self.unlock()
            raise StateError(f"cannot keep the state in {self.path}: {_why(error)}") from None

    def unlock(self) -> None:
        """Let another agent have it."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    async def load(self) -> bytes | None:
        """The bytes of the file; None if there is none, or an empty one."""
        try:
            return await asyncio.to_thread(self.path.read_bytes) or None
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StateError(f"cannot read the state {self.path}: {_why(error)}") from None

    async def save(self, data: bytes) -> None:
        try:
            await asyncio.to_thread(self._replace, data)
        except OSError as error:
            raise StateError(f"cannot write the state {self.path}: {_why(error)}") from None

    async def set_aside(self) -> str:
        """Rename the file after the present time."""
        aside = self._named(f"unreadable-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
        try:
            await asyncio.to_thread(self.path.rename, aside)
        except OSError as error:
            raise StateError(f"cannot rename the state {self.path}: {_why(error)}") from None
        return str(aside)

    def _named(self, suffix: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{suffix}")

    def _replace(self, data: bytes) -> None:
        new = self._named("new")
        try:
            # One that is left of a crash may have another owner or mode.
            new.unlink(missing_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with os.fdopen(os.open(new, flags, _PRIVATE), "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
        except OSError:
            with suppress(OSError):  # It may be what fills the disk.
                new.unlink()
            raise
        directory = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _why(error: OSError) -> str:
    return error.strerror or type(error).__name__
