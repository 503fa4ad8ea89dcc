"""The end of a notification socket that systemd has."""

from __future__ import annotations

import socket


class Manager:
    """Hears what a service says on the socket of this address, which may begin with `@`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        self.socket.settimeout(20)

    def heard(self) -> dict[str, str]:
        """The fields of the next datagram."""
        lines = self.socket.recv(65_536).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)
