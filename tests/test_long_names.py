"""Long names: one name is one name on every server, whatever else its pages hold."""

from __future__ import annotations

import pytest

from nats_insights.fold import Sweep, by_user
from nats_insights.wire import Connection, Page, ServerInfo

# Bytes of a page per row: ordinary rows, and rows among which some are very long.
SIZES = (900, 5000)


@pytest.mark.parametrize("letters", [256, 257, 300, 3000])
def test_a_user_has_one_name_whatever_other_rows_of_its_page_take(letters):
    names = set()
    for size in SIZES:
        sweep = Sweep({by_user: None}, frozenset())
        rows = [Connection(cid, "Client", "APP", letters * "u") for cid in range(10)]
        sweep.page(Page(ServerInfo(), rows, len(rows), size=size * len(rows)))
        names |= sweep.parts[by_user].keys()
    assert len(names) == 1
