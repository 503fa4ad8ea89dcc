"""Tells systemd that the agent is ready, that it goes on, that it stops, and what it does.

A unit of `Type=notify` names a datagram socket in the environment. Without one nothing is sent, and
no failure to send ever ends the agent.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import socket
from collections.abc import Mapping

from nats_insights.tell.view import View, verdict
from nats_insights.text import shortened

log = logging.getLogger(__name__)

_MICROSECONDS = 1_000_000
_STATUS_MAX = 500


class Systemd:
    """The service manager that started this process, as its environment describes it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._watchdog = _watchdog(environ)
        self._patience = self._watchdog
        self._reached = True
        if self._watchdog:
            # It ends what hangs by a signal, on which the log then says where that was.
            faulthandler.enable()

    def works(self, status: str, silent_after: float) -> None:
        """An epoch or a round of standing by has ended: the agent is ready, and alive.

        silent_after: seconds after which its heartbeats would be missed. Where the unit has a
        watchdog, it waits twice as long, and never less than the unit says.
        """
        fields = {"READY": "1", "STATUS": status, "WATCHDOG": "1"}
        patience = max(self._watchdog, 2 * silent_after)
        if self._watchdog and patience != self._patience:
            self._patience = patience
            fields["WATCHDOG_USEC"] = str(round(patience * _MICROSECONDS))
        self._send(fields)

    def tries(self, why: str) -> None:
        """A server did not take the agent: it is alive, and ready only if it was before."""
        self._send({"STATUS": f"no connection: {why}", "WATCHDOG": "1"})

    def stops(self) -> None:
        """The agent was told to stop, and does."""
        self._send({"STOPPING": "1", "STATUS": "stopping"})

    def _send(self, fields: Mapping[str, str]) -> None:
        if self._address is None:
            return
        lines = (f"{name}={shortened(value, _STATUS_MAX)}" for name, value in fields.items())
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto("\n".join(lines).encode(), self._address)
            self._reached = True
        except OSError as error:
            if self._reached:
                log.warning("systemd cannot be told how the agent is: %s", error)
            self._reached = False


def in_a_line(view: View) -> str:
    """What the last epoch said, as `systemctl status` shows it."""
    coverage = view.coverage
    found = sum((view.counts.critical, view.counts.warning, view.counts.info))
    return (
        f"{verdict(view)}: {coverage.servers_answered} of {coverage.servers_known} servers "
        f"answered, {found} open in epoch {view.agent.epoch}"
    )


def _address(name: str) -> str | None:
    """The address of a socket: a path, or `@` and a name that is in no file system."""
    if name.startswith("@"):
        return f"\0{name[1:]}"
    return name if name.startswith("/") else None


def _watchdog(environ: Mapping[str, str]) -> float:
    """Seconds of silence after which systemd ends this process, 0 for never."""
    of_us = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    microseconds = environ.get("WATCHDOG_USEC", "")
    usable = of_us and microseconds.isascii() and microseconds.isdigit()
    return int(microseconds) / _MICROSECONDS if usable else 0.0
