"""Runs a real cluster, and reads in its logs whether anybody was too slow for a server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nats_insights.lab.servers import local


@contextmanager
def cluster(*names: str, troubles: list[str], **settings: Any) -> Iterator[local.System]:
    """A cluster as `local.cluster` has it; slow consumers in its logs are added to `troubles`."""
    with local.cluster(*names, **settings) as system:
        try:
            yield system
        finally:
            for server in system:
                lines = server.log.read_text("utf-8", "replace").splitlines()
                slow = [line for line in lines if "slow consumer" in line.lower()]
                troubles += [f"in the log of {server.name}: {line}" for line in slow]
