"""Long names: one name is one name on every server, whatever else its pages hold."""

from __future__ import annotations

import pytest

from nats_insights.model.fold import Sweep, by_user
from nats_insights.model.ledger import Ledger
from nats_insights.replies.connz import Page
from nats_insights.replies.fields import ServerInfo
from nats_insights.testing import row

# Bytes of a page per row: ordinary rows, and rows among which some are very long.
SIZES = (900, 5000)


@pytest.mark.parametrize("letters", [256, 257, 300, 3000])
def test_a_user_has_one_name_whatever_other_rows_of_its_page_take(letters):
    ledger = Ledger()
    for size in SIZES:
        sweep = Sweep({by_user: None}, frozenset())
        rows = [row(cid=cid, authorized_user=letters * "u") for cid in range(10)]
        sweep.page(Page(ServerInfo(), rows, len(rows), size=size * len(rows)))
        ledger.put(("C1", f"n{size}"), sweep.parts[by_user])
    ((name, count),) = ledger.items()
    assert count == 20
    assert ledger.held_by(name) == {("C1", f"n{size}"): 10 for size in SIZES}


def test_a_server_that_tells_a_long_name_on_two_kinds_of_pages_holds_all_of_it():
    sweep, name = Sweep({by_user: None}, frozenset()), 300 * "u"
    for number, size in enumerate(SIZES):
        rows = [row(cid=10 * number + cid, authorized_user=name) for cid in range(10)]
        sweep.page(Page(ServerInfo(), rows, 20, size=size * len(rows)))
    ledger = Ledger()
    ledger.put(("C1", "n1"), sweep.parts[by_user])
    ((name, count),) = ledger.items()
    assert (count, ledger.held_by(name)) == (20, {("C1", "n1"): 20})
