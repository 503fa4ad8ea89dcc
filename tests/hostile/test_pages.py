"""A server that lies about how many connections it has: the agent asks it for a bounded number."""

from __future__ import annotations

import json
from typing import Any

import pytest
from nats.aio.msg import Msg

from nats_insights.gather.asking import Asker
from nats_insights.gather.connections import PAGE, Pages, Target
from nats_insights.gather.window import Window
from nats_insights.model.fold import Sweep, by_user, row_fields


class Liar(Asker):
    """Asked for a page it answers with `rows` rows, and says that it has `total` of them."""

    def __init__(self, rows: int, total: int, server_id: str = "N1") -> None:
        self.rows, self.total, self.id = rows, total, server_id
        self.timeout, self.malformed, self.asked = 2.0, 0, 0
        self.denied: set[str] = set()
        self.complaints: list[str] = []

    async def ask(self, endpoint: Any, server_id: str, body: bytes, timeout: float) -> Msg:
        self.asked += 1
        wanted = json.loads(body)
        cids = range(wanted["offset"], wanted["offset"] + min(self.rows, wanted["limit"]))
        rows = [{"cid": cid, "kind": "Client", "authorized_user": "app"} for cid in cids]
        told = {"server": {"id": self.id}, "data": {"total": self.total, "connections": rows}}
        return Msg(None, data=json.dumps(told).encode())

    def complain(self, endpoint: Any, whose: str, problem: object) -> None:
        self.complaints.append(str(problem))


async def swept(liar: Liar, rows: int = 20_000) -> list[Any]:
    """What is taken of a server whose VARZ tells so many connections."""
    taken: list[Any] = []
    await Pages(liar, Window(2**30)).sweep(
        [Target(("C1", "n1"), "N1", rows)],
        row_fields([by_user]),
        lambda: Sweep({by_user: None}, frozenset()),
        lambda names, sweep: taken.append(sweep.rows),
    )
    return taken


async def test_a_server_that_tells_the_truth_is_read_whole():
    liar = Liar(PAGE, 3 * PAGE)
    assert (await swept(liar), liar.asked, liar.complaints) == ([3 * PAGE], 3, [])


@pytest.mark.parametrize("rows", [0, 1, 1000])
@pytest.mark.parametrize("total", [30_000, 2**32 - 1])
async def test_a_page_with_far_fewer_rows_than_were_asked_for_is_the_last(rows, total):
    liar = Liar(rows, total)
    assert (await swept(liar), liar.asked) == ([], 1)
    assert liar.complaints == [f"{rows} rows of {total}, or figures that have no sum"]


async def test_of_a_server_with_endless_connections_a_bounded_number_is_asked(monkeypatch):
    monkeypatch.setattr("nats_insights.gather.connections.MOST_ROWS", 5 * PAGE)
    liar = Liar(PAGE, 2**32 - 1)
    assert (await swept(liar, 2**32 - 1), liar.asked) == ([], 5)


@pytest.mark.parametrize("total", [2**32, 2**62, 10**300, -1])
async def test_a_total_beyond_all_bounds_ends_the_sweep(total):
    liar = Liar(PAGE, total)
    assert (await swept(liar), liar.asked) == ([], 1)
    assert "a field is not of its type" in liar.complaints[0]


async def test_the_reply_of_another_server_ends_the_sweep():
    liar = Liar(PAGE, 3 * PAGE, server_id="N2")
    assert (await swept(liar), liar.asked) == ([], 1)
    assert liar.complaints == ["another server's reply"]
