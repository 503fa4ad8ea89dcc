"""Programs on a real pseudo terminal of any size, and what stands on its screen."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

PATIENCE = 40.0
# What a program writes to take the whole screen, to give it back, and to begin it anew.
ENTER, LEAVE, HOME = "\x1b[?1049h", "\x1b[?1049l", "\x1b[H"
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"
_COLOUR = re.compile(r"\x1b\[([0-9;]*)m")


class Terminal:
    """A program that runs on a terminal; `text` is all that it wrote so far."""

    def __init__(self, program: subprocess.Popen[bytes], primary: int, secondary: int) -> None:
        self.program = program
        self.text = ""
        self._primary, self._secondary = primary, secondary

    @property
    def attributes(self) -> list[Any]:
        """How the terminal treats what is typed and written."""
        return termios.tcgetattr(self._secondary)

    def type(self, text: str) -> None:
        """Press these keys."""
        os.write(self._primary, text.encode())

    def resize(self, columns: int, lines: int) -> None:
        """As when a person changes the size of the window."""
        fcntl.ioctl(self._primary, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def screen(self) -> list[str]:
        """The lines of the last whole screen, with its colours; none before the second one."""
        # The last one may still be on its way.
        whole = self.text.split(HOME)[2:-1]
        return [line.rstrip() for line in whole[-1].split("\r\n")] if whole else []

    async def until(self, condition: Callable[[], object]) -> None:
        """Until what it wrote makes it true; AssertionError with the screen if it never does."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    await asyncio.sleep(0.02)
                    self.read()
        except TimeoutError:
            raise AssertionError("in vain:\n" + "\n".join(self.screen() or [self.text])) from None

    def read(self) -> None:
        """Take in what it wrote; nothing more comes after its end."""
        try:
            while chunk := os.read(self._primary, 65536):
                self.text += chunk.decode()
        except (BlockingIOError, OSError):
            pass

    async def ended(self) -> int:
        """Its exit code, once it has ended."""
        await self.until(lambda: self.program.poll() is not None)
        self.read()
        return self.program.returncode


@contextmanager
def terminal(
    arguments: Sequence[str], columns: int, lines: int, env: Mapping[str, str]
) -> Iterator[Terminal]:
    """A Python program on a terminal of this size; killed at the end, if it still runs."""
    primary, secondary = pty.openpty()
    os.set_blocking(primary, False)
    size = struct.pack("HHHH", lines, columns, 0, 0)
    fcntl.ioctl(secondary, termios.TIOCSWINSZ, size)
    program = subprocess.Popen(
        [sys.executable, *arguments],
        stdin=secondary,
        stdout=secondary,
        stderr=secondary,
        # Test processes in parallel have a size in their variables, which would overrule this one.
        env={key: value for key, value in env.items() if key not in ("LINES", "COLUMNS")},
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    try:
        yield Terminal(program, primary, secondary)
    finally:
        program.kill()
        program.wait()
        os.close(primary)
        os.close(secondary)


def plain(line: str) -> str:
    """A line without its colours."""
    return _COLOUR.sub("", line)


def colours(text: str) -> set[str]:
    """The parameters of all colours and emphases in a text."""
    return set(_COLOUR.findall(text))
