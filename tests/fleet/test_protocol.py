"""Messages are read whole, however the bytes of the connection are cut."""

from __future__ import annotations

import pytest

from nats_insights.lab.fleet.protocol import Client, Message

HEADER = b"NATS/1.0\r\nA: b\r\n\r\n"
STREAM = b"".join(
    (
        b"MSG a.b 1 5\r\nhel\r\n\r\n",
        b"+OK\r\n",
        b"MSG a 2 _INBOX.x 0\r\n\r\n",
        b"HMSG a 3 _INBOX.y %d %d\r\n%bhi\r\n" % (len(HEADER), len(HEADER) + 2, HEADER),
    )
)


@pytest.mark.parametrize("piece", [1, 7, len(STREAM)])
async def test_messages_are_read_from_pieces_of_any_size(piece: int) -> None:
    messages: list[Message] = []
    client = Client({}, messages.append)
    for start in range(0, len(STREAM), piece):
        client.data_received(STREAM[start : start + piece])
    assert messages == [
        Message("a.b", "", b"", b"hel\r\n"),
        Message("a", "_INBOX.x", b"", b""),
        Message("a", "_INBOX.y", HEADER, b"hi"),
    ]
