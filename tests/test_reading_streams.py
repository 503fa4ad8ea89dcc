"""The streams of one server are read whole or not at all, whatever it answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import nats.errors
import pytest
from nats.aio.msg import Msg

from nats_insights.gather import streams as reading
from nats_insights.gather.asking import Asker
from nats_insights.gather.streams import Streams
from nats_insights.gather.window import Window
from nats_insights.replies.heard import Target
from nats_insights.replies.jsz import JSZ_STREAMS

Answer = Callable[[dict[str, Any]], dict[str, Any]]
HELD = {"APP": ["ORDERS", "JOBS"], "BIG": ["METRICS"], "EMPTY": []}
TARGET = Target(("C1", "n1"), "N1", 3)


class Server(Asker):
    """An asker whose requests are answered as a server would, or as `spoiled` says."""

    def __init__(self, spoiled: Answer = lambda told: told) -> None:
        self.spoiled = spoiled
        self.asked: list[str | None] = []
        self.complaints: list[str] = []
        self.denied: set[str] = set()
        self.timeout = 1.0

    async def ask(self, endpoint: Any, server_id: str, body: bytes, timeout: float) -> Msg:
        wanted = json.loads(body)
        self.asked.append(wanted.get("account"))
        reply = self.spoiled({"server": {"id": server_id}, "data": told(wanted)})
        return Msg(None, data=json.dumps(reply).encode())  # type: ignore[arg-type]

    def complain(self, endpoint: Any, whose: str, problem: object) -> None:
        self.complaints.append(str(problem))


def told(wanted: dict[str, Any]) -> dict[str, Any]:
    """What a server with the streams in HELD tells of what is wanted."""
    names = [wanted["account"]] if wanted.get("account") in HELD else list(HELD)
    details: list[dict[str, Any]] = [{"name": name, "id": name} for name in names]
    if wanted.get("streams"):
        for one in details:
            one["stream_detail"] = [{"name": stream} for stream in HELD[one["id"]]]
    return {"streams": 3, "consumers": 1, "account_details": details}


async def read(server: Server, *targets: Target) -> list[str] | None:
    """The streams that were taken, as "account stream"; None where nothing was."""
    taken: list[str] | None = None

    def take(names, details):
        nonlocal taken
        taken = [
            f"{account.id} {stream.name}"
            for account in details
            for stream in account.stream_detail or ()
        ]
        yield

    streams = Streams(server, Window(2**20))  # type: ignore[arg-type]
    await streams.read(targets or [TARGET], take)
    return taken


ALL = ["APP ORDERS", "APP JOBS", "BIG METRICS"]


async def test_a_small_server_tells_all_at_once():
    server = Server()
    assert await read(server) == ALL
    assert server.asked == [None, ""]


async def test_a_large_one_account_by_account(monkeypatch):
    monkeypatch.setattr(reading, "WHOLE", 3)
    server = Server()
    assert await read(server) == ALL
    assert server.asked == [None, "APP", "BIG", "EMPTY"]


async def test_a_server_without_streams_is_asked_for_none():
    server = Server(lambda reply: {**reply, "data": {"disabled": True}})
    assert await read(server) == []
    assert server.asked == [None]


async def test_an_account_that_is_gone_is_not_taken_for_all(monkeypatch):
    # Where 2.15 knows no such account, it tells everything.
    monkeypatch.setattr(reading, "WHOLE", 3)
    gone = {"id": "GONE", "name": "GONE"}

    def with_another(reply):
        if "stream_detail" not in reply["data"]["account_details"][0]:
            reply["data"]["account_details"].append(gone)
        return reply

    server = Server(with_another)
    assert await read(server) == ALL
    assert server.asked[-1] == "GONE"


def one_less(reply: dict[str, Any]) -> dict[str, Any]:
    for account in reply["data"]["account_details"][:1]:
        account.get("stream_detail", [None]).pop()
    return reply


SPOILED: dict[str, tuple[Answer, str]] = {
    "fewer streams than it has": (one_less, "not all of its streams"),
    "what another server says": (
        lambda reply: {**reply, "server": {"id": "N2"}},
        "another server's reply",
    ),
    "no data": (lambda reply: {**reply, "data": None}, "no data"),
    "what is no figure": (
        lambda reply: {**reply, "data": {"streams": "many"}},
        "a field is not of its type",
    ),
}


@pytest.mark.parametrize(("spoiled", "why"), SPOILED.values(), ids=SPOILED)
async def test_nothing_is_taken_of_a_server_that_tells(spoiled, why):
    server = Server(spoiled)
    assert await read(server) is None
    (complaint,) = server.complaints
    assert why in complaint


async def test_a_stream_that_went_meanwhile_is_not_waited_for():
    def after(reply):
        if "stream_detail" in reply["data"]["account_details"][0]:
            reply["data"]["streams"] = 2
            return one_less(reply)
        return reply

    assert await read(Server(after)) == ["APP ORDERS", "BIG METRICS"]


async def test_a_request_is_repeated_once():
    class Slow(Server):
        async def ask(self, *arguments: Any) -> Msg:
            if len(self.asked) < self.late:
                self.asked.append("late")
                raise nats.errors.TimeoutError
            return await super().ask(*arguments)

    for late, taken in ((1, ALL), (2, None)):
        server = Slow()
        server.late = late
        assert await read(server) == taken
        assert len(server.complaints) == (taken is None)


async def test_who_may_not_ask_one_server_asks_no_other(monkeypatch):
    monkeypatch.setattr(reading, "AT_A_TIME", 1)

    class Refusing(Server):
        async def ask(self, *arguments: Any) -> Msg:
            self.asked.append("refused")
            self.denied.add(JSZ_STREAMS.key)
            raise nats.errors.NoRespondersError

    server = Refusing()
    assert await read(server, *(Target(("C1", f"n{n}"), f"N{n}", 1) for n in range(5))) is None
    assert server.asked == ["refused"]


async def test_where_many_hang_the_others_are_not_waited_for():
    class Hanging(Server):
        async def ask(self, *arguments: Any) -> Msg:
            self.asked.append("in vain")
            raise nats.errors.TimeoutError

    server = Hanging()
    targets = [Target(("C1", f"n{n}"), f"N{n}", 1) for n in range(100)]
    assert await read(server, *targets) is None
    assert len(server.asked) <= 2 * 2 * reading.AT_A_TIME
