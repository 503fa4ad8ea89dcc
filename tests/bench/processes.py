"""Runs what is measured in a process of its own, and reads the memory that a process took."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from nats_insights.lab.servers import local

_STATUS = Path("/proc/self/status")


def run(what: str, server: local.Server, *arguments: str, given: object = None) -> Any:
    """What `tests.bench.<what>` prints, as root on that server, with `given` to read."""
    user, password = server.user("root")
    ran = subprocess.run(
        command(what, server.url, user, *arguments),
        env={**os.environ, "NATS_PASSWORD": password},
        input=json.dumps(given).encode(),
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(ran.stdout)


def command(what: str, *arguments: str) -> Sequence[str]:
    """The command line of a module of the bench."""
    return [sys.executable, "-m", f"tests.bench.{what}", *arguments]


def forget_peak() -> None:
    """Lets the peak begin anew, where the system can do that."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_rss_mib() -> float:
    """The most memory that this process ever held, or held since its peak was forgotten."""
    # `ru_maxrss` is the second choice: a process starts with that of the one that started it.
    if _STATUS.exists():
        fields = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 if sys.platform != "darwin" else 1024 * 1024)
