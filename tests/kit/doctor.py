"""What `doctor` prints, as a program of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

_FLAGS = {"creds": "--creds", "ca": "--tlsca", "cert": "--tlscert", "key": "--tlskey"}


async def examined(
    home: Path, url: str, *arguments: str, login: tuple[str, str] = ("", ""), **files: str
) -> tuple[int, list[str]]:
    """The exit code and the lines of `doctor`, with nothing said beside them.

    `home` is an empty directory, `files` are the settings that are files, by their names.
    """
    inherited = {key: value for key, value in os.environ.items() if key[:5] != "NATS_"}
    user, password = login
    given = {"NATS_URL": url, "NATS_USER": user, "NATS_PASSWORD": password}
    flags = [word for name, path in files.items() for word in (_FLAGS[name], path)]
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nats_insights", "doctor", *arguments, *flags),
        env=inherited | {"XDG_CONFIG_HOME": str(home)} | {k: v for k, v in given.items() if v},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complaints = await program.communicate()
    assert complaints == b""
    assert program.returncode is not None
    return program.returncode, said.decode().splitlines()


def about(lines: list[str], *steps: str) -> list[str]:
    """The lines on these steps, each with its mark and single blanks."""
    return [" ".join(line.split()) for line in lines if line.split()[1:2] in [[s] for s in steps]]
