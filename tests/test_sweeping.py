"""Sweeping: which pages of a server's connections are asked for, and what of them is believed.

The replies are those of simulated servers, without a connection between: what is lost on it, and
by whom, is told by each test.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import nats.errors
import pytest
from nats.aio.msg import Msg

from nats_insights.gather import connections as pages
from nats_insights.gather import stepwise
from nats_insights.gather.asking import Asker
from nats_insights.gather.connections import Pages, Target
from nats_insights.gather.window import Window
from nats_insights.lab.fleet import replies, request
from nats_insights.lab.fleet.misbehave import spoil
from nats_insights.lab.fleet.model import Fleet, User
from nats_insights.lab.fleet.replies import Reply
from nats_insights.model.fold import Sweep, by_user, row_fields

WIDE = 64 * 2**20


class Connection:
    """A connection to simulated servers, in the place of `Client`.

    `asked` has the body of each request and its timeout. The first `lost` replies do not come,
    `moves` happens before each page but the first, `liar` is the name that all answer in, and
    `spells` makes bytes of each reply.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.server_id = next(iter(fleet.ids))
        self.asked: list[dict[str, Any]] = []
        self.timeouts: list[float] = []
        self.denied: set[str] = set()
        self.lost = self.at_once = self.most_at_once = 0
        self.moves = lambda: None
        self.liar = ""
        self.spells = Reply.plain

    def new_inbox(self) -> str:
        return "_INBOX.x"

    def takes(self, subject: str) -> bool:
        return True

    async def request(
        self, subject: str, body: bytes, timeout: float, headers: dict[str, str]
    ) -> Msg:
        """The reply of one server, as the simulator encodes it."""
        if self.asked:
            self.moves()
        self.asked.append(json.loads(body))
        self.timeouts.append(timeout)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        for _ in range(10):  # Others have their turn before a reply comes.
            await asyncio.sleep(0)
        self.at_once -= 1
        if self.lost:
            self.lost -= 1
            raise nats.errors.TimeoutError
        asked = request.read(subject, "_INBOX.x", b"", body)
        assert asked is not None
        server = self.fleet.server(self.liar) if self.liar else self.fleet.ids[asked.target]
        reply = replies.reply(self.fleet, server, asked)
        assert reply is not None
        return Msg(self, subject="_INBOX.x", data=self.spells(reply))

    @property
    def parts(self) -> list[tuple[int, int]]:
        """Offset and limit of each page that was asked for."""
        return [(body["offset"], body["limit"]) for body in self.asked]


class Swept:
    """What one sweep of some servers made of the replies: users of each server that was taken."""

    def __init__(self, connection: Connection, window: int = WIDE) -> None:
        self.connection = connection
        self.asker = Asker(connection, 2.0)
        self.window = Window(window)
        self.pages = Pages(self.asker, self.window)
        self.users: dict[str, dict[tuple[str, str], int]] = {}

    async def of(self, *servers: str, rows: int | None = None, leafs: bool = True) -> Swept:
        """Sweep these servers; `rows` is what they said that they hold, by default the truth."""
        made = [self.connection.fleet.server(name) for name in servers]
        await self.pages.sweep(
            [
                Target(("C1", s.name), s.id, len(s.cids) if rows is None else rows, leafs)
                for s in made
            ],
            row_fields([by_user]),
            lambda: Sweep({by_user: None}, frozenset()),
            self.take,
        )
        return self

    def take(self, names: tuple[str, ...], sweep: Sweep) -> None:
        self.users[names[-1]] = dict(sweep.parts[by_user].items())


def fleet(**clients: int) -> Fleet:
    """Servers of one cluster, each with so many clients of a user that is called as it is."""
    made = Fleet({"C1": list(clients)})
    for name, count in clients.items():
        made.open(made.server(name), User(account="APP", name=name), count)
    return made


def counted(**clients: int) -> dict[str, dict[tuple[str, str], int]]:
    """What has to be counted of such a fleet."""
    return {name: {("APP", name): count} for name, count in clients.items() if count}


@pytest.fixture
def small_pages(monkeypatch):
    """A server with more than 200 rows is asked for 50 of them at a time."""
    monkeypatch.setattr(pages, "WHOLE", 200)
    monkeypatch.setattr(pages, "PAGE", 50)
    monkeypatch.setattr(pages, "LEAST", 20)


class InSteps(Swept):
    """Servers that are taken in steps, and which of them began and ended."""

    order: tuple[str, ...] = ()

    def take(self, names: tuple[str, ...], sweep: Sweep) -> Iterator[None]:
        self.order += (f"{names[-1]} begins",)
        yield from [None] * 50
        self.order += (f"{names[-1]} ends",)


async def test_a_server_is_taken_in_steps_and_before_the_next_one(monkeypatch):
    monkeypatch.setattr(stepwise, "BREATH", 0.0)
    swept = await InSteps(Connection(fleet(n1=3, n2=3))).of("n1", "n2")
    assert swept.order in (
        ("n1 begins", "n1 ends", "n2 begins", "n2 ends"),
        ("n2 begins", "n2 ends", "n1 begins", "n1 ends"),
    )


# --- Which pages.


async def test_a_server_is_asked_once_with_room_for_those_that_come_meanwhile():
    swept = await Swept(Connection(fleet(a=40, b=10))).of("a", "b")
    assert sorted(swept.connection.parts) == [(0, 10 + 64), (0, 40 + 2 + 64)]
    assert (swept.users, swept.pages.swept) == (counted(a=40, b=10), 2)


# With room for a twentieth more and 64, 129 rows are a request for 199, and 131 one for 201.
WHOLE = {
    129: [(0, 199)],
    130: [(0, 200)],
    131: [(0, 50), (50, 50), (100, 50)],
    150: [(0, 50), (50, 50), (100, 50)],
    151: [(0, 50), (50, 50), (100, 50), (150, 50)],
}


@pytest.mark.parametrize(("rows", "parts"), WHOLE.items(), ids=map(str, WHOLE))
async def test_a_server_is_asked_in_pages_where_it_holds_too_much_for_one(small_pages, rows, parts):
    swept = await Swept(Connection(fleet(a=rows))).of("a")
    assert (swept.connection.parts, swept.users) == (parts, counted(a=rows))


GROWN = {"none were told": 0, "half were told": 75, "more were told": 300}


@pytest.mark.parametrize("rows", GROWN.values(), ids=GROWN)
async def test_pages_go_on_until_the_total_that_they_tell_themselves(small_pages, rows):
    swept = await Swept(Connection(fleet(a=150))).of("a", rows=rows)
    assert swept.users == counted(a=150)


@pytest.mark.parametrize("leafs", [False, True])
async def test_a_server_that_grew_beyond_one_page_has_each_row_counted_once(small_pages, leafs):
    """Rows of a page that was to be all of it are not told apart, until it is not."""
    connection = Connection(fleet(a=150))
    server = connection.fleet.server("a")
    # One closes before each page: the rows behind it move up, onto the page that was read before.
    connection.moves = lambda: connection.fleet.close_some(server, 1)
    swept = await Swept(connection).of("a", rows=60, leafs=leafs)
    assert connection.parts == [(0, 127), (127, 127)]
    assert 148 <= swept.users["a"]["APP", "a"] <= 150


@pytest.mark.parametrize(("leafs", "seen"), [(True, 40), (False, 43)])
async def test_leaf_nodes_are_told_from_clients_where_there_can_be_any(leafs, seen):
    made = fleet(a=40)
    made.open(made.server("a"), User(account="APP", name="a", kind="leaf"), 3)
    swept = await Swept(Connection(made)).of("a", leafs=leafs)
    assert swept.users == counted(a=seen)


async def test_a_long_page_lets_others_have_their_turn(monkeypatch):
    monkeypatch.setattr(pages, "AT_ONCE", 0)
    swept = await Swept(Connection(fleet(a=150, b=20))).of("a", "b")
    assert swept.users == counted(a=150, b=20)


async def test_pages_end_where_there_is_nothing_more(small_pages):
    a = Connection(fleet(a=300))
    server = a.fleet.server("a")
    a.moves = lambda: a.fleet.close_some(server, len(server.cids))
    swept = await Swept(a).of("a")
    assert (swept.connection.parts, swept.users) == ([(0, 50), (50, 50)], {})


async def test_a_server_that_never_lists_what_it_tells_is_given_up(small_pages):
    connection = Connection(fleet(a=150))
    connection.spells = lambda reply: reply.plain().replace(b'"total":150', b'"total":1000000')
    swept = await Swept(connection).of("a")
    assert (len(connection.parts), swept.users) == (4, {})


async def test_a_server_without_connections_is_swept_too():
    swept = await Swept(Connection(fleet(a=0))).of("a")
    assert (swept.connection.parts, swept.users) == ([(0, 64)], {"a": {}})


# --- Within the window.


async def test_a_page_takes_half_of_the_window_at_most(small_pages):
    swept = await Swept(Connection(fleet(a=150)), window=pages.ROW_BYTES * 80).of("a")
    assert swept.connection.parts[0] == (0, 40)
    assert swept.users == counted(a=150)


async def test_however_small_the_window_is_a_page_has_some_rows(small_pages):
    swept = await Swept(Connection(fleet(a=60)), window=pages.ROW_BYTES).of("a")
    assert {limit for _, limit in swept.connection.parts} == {20}
    assert swept.users == counted(a=60)


async def test_servers_together_owe_no_more_than_the_window(small_pages):
    names = {f"s{number}": 40 for number in range(10)}
    window = 100 * pages.ROW_BYTES  # Of 50 rows at most at a time, and of 40 from each server.
    swept = await Swept(Connection(fleet(**names)), window=window).of(*names)
    assert swept.users == counted(**names)
    assert (swept.connection.most_at_once, swept.window.taken) == (2, 0)
    assert 0 < swept.window.peak <= window


async def test_servers_together_hold_no_more_rows_than_may_be_kept(monkeypatch):
    monkeypatch.setattr(pages, "ROWS_AT_A_TIME", 100)
    swept = await Swept(Connection(fleet(a=60, b=60, c=60))).of("a", "b", "c")
    assert swept.users == counted(a=60, b=60, c=60)
    assert swept.connection.most_at_once == 1


async def test_the_last_page_owes_only_the_rows_that_are_left(small_pages):
    swept = Swept(Connection(fleet(a=151)))
    owed = []
    swept.connection.moves = lambda: owed.append(swept.window.taken)
    await swept.of("a")
    assert owed[-1] < min(owed[:-1]) / 10


async def test_what_rows_take_is_learnt_from_those_that_came():
    swept = Swept(Connection(fleet(a=1000)))
    await swept.of("a")
    first = swept.window.peak
    for _ in range(30):
        swept.window.peak = 0
        await swept.of("a")
    size = swept.asker.received / swept.asker.replies
    assert first == 1000 * pages.ROW_BYTES
    # Half as much again, since rows differ.
    assert swept.window.peak == pytest.approx(1.5 * size, rel=0.01)


# --- What is believed.


async def test_a_reply_that_is_lost_is_asked_for_once_more():
    connection = Connection(fleet(a=40))
    connection.lost = 1
    swept = await Swept(connection).of("a")
    assert connection.parts == [(0, 106)] * 2
    assert swept.users == counted(a=40)


async def test_two_lost_replies_leave_a_server_unknown_and_no_other():
    connection = Connection(fleet(a=40))
    connection.lost = 2
    swept = await Swept(connection).of("a")
    assert (len(connection.parts), swept.users, swept.pages.swept) == (2, {}, 0)
    await swept.of("a")
    assert (swept.users, swept.window.taken) == (counted(a=40), 0)


async def test_a_longer_page_may_take_longer():
    connection = Connection(fleet(a=1, b=10_000))
    await Swept(connection).of("a")
    await Swept(connection).of("b")
    assert connection.timeouts == pytest.approx([2.0 + 65 * 50e-6, 2.0 + 10_564 * 50e-6])


async def test_a_reply_in_the_name_of_another_server_is_not_taken():
    connection = Connection(fleet(a=40, b=10))
    connection.liar = "b"
    swept = await Swept(connection).of("a")
    assert (swept.users, swept.asker.malformed) == ({}, 1)


@pytest.mark.parametrize(("closed", "known"), [(1, True), (10, False)])
async def test_where_too_much_closed_between_pages_the_server_is_unknown(
    small_pages, closed, known
):
    connection = Connection(fleet(a=150))
    server = connection.fleet.server("a")
    connection.moves = lambda: connection.fleet.close_some(server, closed)
    swept = await Swept(connection).of("a")
    assert (set(swept.users) == {"a"}, swept.pages.swept) == (known, int(known))


@pytest.mark.parametrize(("rows", "known"), [(100, True), (40, False)])
async def test_a_row_that_cannot_be_read_is_told_and_lacks(rows, known):
    connection = Connection(fleet(a=rows))
    connection.spells = lambda reply: spoil(reply, "null_record", "")[1]
    swept = await Swept(connection).of("a")
    assert (set(swept.users) == {"a"}, swept.asker.malformed) == (known, 1)


async def test_nobody_is_asked_for_what_is_not_permitted():
    swept = Swept(Connection(fleet(a=40)))
    swept.asker.denied.add("CONNZ")
    await swept.of("a")
    assert (swept.connection.asked, swept.users) == ([], {})


async def test_every_page_is_asked_for_with_the_names_of_users(small_pages):
    swept = await Swept(Connection(fleet(a=150))).of("a")
    assert {body["auth"] for body in swept.connection.asked} == {True}


async def test_some_rows_of_one_server_are_no_more_than_a_page():
    swept = Swept(Connection(fleet(a=2000)))
    server = swept.connection.fleet.server("a")
    page = await swept.pages.rows(server.id, ["cid"], sort="subs")
    assert (len(page.connections), page.total) == (1024, 2000)
    assert swept.connection.asked == [{"auth": True, "limit": 1024, "sort": "subs"}]
