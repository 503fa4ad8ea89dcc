"""A relay of TCP between two servers, which can delay what passes, hold it, or cut it off."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from nats_insights.lab.servers.conf import LOOPBACK

# Little waits in here, so that what is held waits in the server that sends it.
_BUFFER_BYTES = 65_536


class Between:
    """Passes on what comes to `address`, to the port `target`, and what is sent back.

    `delay` is in seconds for each way; while `holds`, nothing goes to the target. In threads of its
    own, since tests block the event loop while servers start.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.delay = 0.0
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self._listener.bind((LOOPBACK, 0))
        self._listener.listen()
        self.address = f"{LOOPBACK}:{self._listener.getsockname()[1]}"
        self._flows = threading.Event()
        self._flows.set()
        self._open = True  # Whether it takes connections.
        self._halved = False
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def hold(self) -> None:
        """Keep what is for the target from now on."""
        self._flows.clear()

    def release(self) -> None:
        """Pass it on again."""
        self._flows.set()

    def cut(self) -> None:
        """Close all connections, and refuse new ones until `heal`."""
        self._open = False
        self._close()

    def halve(self) -> None:
        """The same, but only the target learns of it: the other ends stay open."""
        self._open, self._halved = False, True
        for _, above in self._pairs:
            _shut(above)

    def heal(self) -> None:
        """Close what is left of the connections, and take new ones."""
        self._close()
        self._open, self._halved = True, False

    def end(self) -> None:
        """Close everything."""
        self.release()
        self.cut()
        _shut(self._listener)

    def _close(self) -> None:
        pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                _shut(end)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                below, _ = self._listener.accept()
                try:
                    if not self._open:
                        raise OSError
                    above = socket.create_connection((LOOPBACK, self.target))
                except OSError:
                    below.close()
                    continue
                self._pairs.append((below, above))
                for way in ((below, above), (above, below)):
                    threading.Thread(target=self._pass, args=way, daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        to_target = source in [below for below, _ in self._pairs]
        with suppress(OSError):
            while data := source.recv(_BUFFER_BYTES):
                time.sleep(self.delay)
                if to_target:
                    self._flows.wait()
                sink.sendall(data)
        if not self._halved:
            _shut(source)
            _shut(sink)


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def between(target: int) -> Iterator[Between]:
    """A relay to this port, until the block ends."""
    relay = Between(target)
    try:
        yield relay
    finally:
        relay.end()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
