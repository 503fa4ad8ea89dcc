"""What an agent publishes, read back from its bytes, whatever the names in the system are."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from nats_insights.facts import Coverage
from nats_insights.judge.lifecycle import Told
from nats_insights.tell.advisory import Message, advisory, message, subject
from nats_insights.tell.messages import Advisory, AgentInfo
from scenario import FOUNDING, OF_SILENCE, Server, Story, System, cluster, system

AGENT = AgentInfo(id="agent", instance=32 * "f", version="1.0", epoch=7, role="leader")
COVERAGE = Coverage(servers_known=3, servers_answered=3, missing=[])
BY_CODE = {check.code: check for check in (FOUNDING | OF_SILENCE).values()}
MIB = 1024 * 1024

HOSTILE = {
    "dots": "a.b.c",
    "spaces": "a b  c",
    "wildcards": "*.>",
    "non-ASCII": "Zürich 東京 🐇",
    "control characters": "\0\r\n\t\x1b[31m\x7f",
    "line ends of a header": "x\r\nNats-Expected-Stream: S\r\n",
    "directions of writing": "\u202etxt.exe\u2028",
    "quotes": '"}\\',
    "braces": "{server}{0}",
    "nothing but an underscore": "_",
    "60 control characters": 60 * "\x01",
    "5,000 letters": 5000 * "a",
    "5,000 bytes of rabbits": 1250 * "🐇",
    "5,000 control characters": 5000 * "\x01",
}


def uneven(name: str) -> System:
    """A system on which all five checks find something, everything in it being called so."""
    account = name.replace(" ", "_")
    hot = Server(users={f"{account} {name}": 120}, subscriptions=500, max_connections=120)
    return system(
        cluster(name, **{name: hot, "n2": Server(users={f"{account} n": 1}), "n3": 0, "n4": 0})
    )


def tell(told: Told, max_payload: int = MIB) -> tuple[Advisory, Message]:
    """An advisory as it is published, read back from its bytes."""
    check = BY_CODE[told.life.key.code]
    made = advisory(told, check, AGENT, COVERAGE, 1860.0)
    sent = message(made, subject(told.life, check), max_payload)
    return msgspec.json.decode(sent.payload, type=Advisory), sent


def openings(name: str = "n1") -> Iterator[Told]:
    """What the system of that name has told after two epochs."""
    story = Story()
    for _ in range(2):
        story.hears(uneven(name))
        yield from story.told


def size(sent: Message) -> int:
    """Bytes of a message as NATS counts them towards its limits."""
    lines = "".join(f"{key}: {value}\r\n" for key, value in sent.headers.items())
    return len(f"NATS/1.0\r\n{lines}\r\n".encode()) + len(sent.payload)
