"""How this program was called, for hints that are copied into another terminal."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path


def typed() -> str:
    """The words before the name of the command, as they were typed."""
    if Path(sys.argv[0]).name == "__main__.py":
        words = [_name(sys.orig_argv[0]), "-m", "nats_insights"]
    else:
        words = [_name(sys.argv[0])]
    # uv sets this variable for what it runs, on a PATH that no other terminal has.
    by_uv = ["uv", "run"] if "UV_RUN_RECURSION_DEPTH" in os.environ else []
    return shlex.join([*by_uv, *words])


def _name(program: str) -> str:
    """The name alone of a program that is found on the PATH: so it was typed, most likely."""
    name = Path(program).name
    return name if shutil.which(name) == program else program
