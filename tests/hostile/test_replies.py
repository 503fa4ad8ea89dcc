"""Hostile replies of servers: each decoder reads or refuses them, and nothing else happens."""

from __future__ import annotations

import copy
import gzip
import json
import zlib
from collections import Counter
from datetime import UTC, datetime
from random import Random
from typing import Any

import msgspec
import pytest

from kit.hostile import NUMBERS, changed, recorded, reply, survives, torn
from nats_insights.model import loaded
from nats_insights.model.build import seconds_between
from nats_insights.model.fold import Sweep, Tally, by_user, fold, local_subscriptions, short_key
from nats_insights.model.ledger import Ledger
from nats_insights.model.loaded import Loaded
from nats_insights.replies.connz import ROW_FIELDS, Connection, PageDecoder
from nats_insights.replies.endpoint import endpoints
from nats_insights.replies.events import decode_event
from nats_insights.replies.fields import Malformed
from nats_insights.replies.unpack import unpack
from nats_insights.replies.varz import VARZ

SMALL = ("VARZ", "STATSZ", "ROUTEZ", "LEAFZ", "SUBSZ", "ACCOUNTZ", "STATZ")
SUMMED = {"connections", "total_connections", "leafnodes", "subscriptions", "active_servers"}


@fold("in_msgs", "out_msgs", "pending_bytes", "name", moves_with="local_interest")
def by_name(rows: list[Connection], tally: Tally, params: object) -> None:
    """Of each name all that can be added up."""
    for row in rows:
        tally[row.name] += row.in_msgs + row.out_msgs + row.pending_bytes


FOLDS = (by_user, local_subscriptions, by_name)
PAGES = PageDecoder(ROW_FIELDS)


@pytest.mark.parametrize("endpoint", SMALL)
def test_a_small_reply_is_read_or_malformed(endpoint):
    def read(payload: bytes) -> None:
        info, data = endpoints()[endpoint].decode(payload)
        within_bounds(msgspec.structs.asdict(data))
        assert info.id.isascii()
        assert len(info.id) <= 128
        assert all(len(id) <= 128 for id in getattr(data, "peers", {}))
        if endpoint == "VARZ":
            seconds_between(data.start, data.now)

    taken, refused = survives(endpoint, reply(endpoint), read, (Malformed,), 0.07)
    assert taken > 0
    assert refused > 0


def within_bounds(figures: dict[str, Any]) -> None:
    """All that is summed up or divided has bounds."""
    for name, figure in figures.items():
        if isinstance(figure, int | float):
            assert abs(figure) < 2**63
            assert name not in SUMMED or 0 <= figure < 2**53
        if isinstance(figure, dict) and name == "connections":
            assert all(0 < count < 2**32 for count in figure.values())


def test_an_account_is_read_or_malformed():
    def read(payload: bytes) -> None:
        _, told = endpoints()["ACCOUNTZ_DETAIL"].decode(payload)
        if told.account_detail is not None:
            detail = loaded.read(told.account_detail, ("", "n1"), 5.0, told.system_account)
            datetime.fromtimestamp(detail.expires, UTC)
            assert abs(detail.life_days) < 10**7
            assert set(detail.inactive) <= set(detail.imports)
            kept = Loaded()
            kept.accounts = {(one.account, ""): detail for one in detail.imports}
            assert all(isinstance(kept.why_inactive(one, 5.0), str) for one in detail.imports)

    taken, refused = survives("account", reply("ACCOUNTZ_DETAIL"), read, (Malformed,), 0.04)
    assert taken > 0
    assert refused > 0


def test_an_event_is_read_or_malformed():
    taken, refused = survives("event", reply("EVENTS"), decode_event, (Malformed,), 0.04)
    assert taken > 0
    assert refused > 0


def test_pages_are_read_or_malformed_and_what_is_exact_can_be_summed_up():
    exact = 0

    def make(random: Random) -> list[bytes]:
        if random.random() < 0.3:
            return [extreme(random)]
        return [reply("CONNZ")(random) for _ in range(random.choice((1, 1, 2, 5)))]

    def read(payloads: list[bytes]) -> None:
        nonlocal exact
        sweep = Sweep(dict.fromkeys(FOLDS), frozenset({"SYS"}))
        ledgers = {one: Ledger(cap=8) for one in FOLDS}
        for payload in payloads:
            sweep.page(PAGES.decode(payload))
            if not sweep.exact:
                continue
            exact += 1
            for one, tally in sweep.parts.items():
                ledger = ledgers[one]
                ledger.put(("C1", "n1"), Tally(tally))
                ledger.put(("C1", "n2"), Tally(tally))
                if not ledger.overflowed:
                    held: Counter[object] = Counter()
                    for key, count in tally.items():
                        held[short_key(key)] += 2 * count
                    assert dict(ledger.items()) == +held
                ledger.drop(("C1", "n1"))
                msgspec.json.encode([ledger.most(), ledger.error])

    taken, refused = survives("pages", make, read, (Malformed,), 0.105)
    assert min(taken, refused, exact) > 0


def extreme(random: Random) -> bytes:
    """A page that is as it should be, but for one figure of several rows."""
    page = copy.deepcopy(random.choice(recorded("CONNZ")))
    rows = page["data"]["connections"]
    figure = random.choice(("subscriptions", "in_msgs", "out_msgs", "pending_bytes", "cid"))
    for row in random.choices(rows, k=random.choice((1, 2, len(rows)))):
        row[figure] = random.choice(NUMBERS)
    return json.dumps(page).encode()


def test_a_packed_reply_is_unpacked_or_malformed():
    def make(random: Random) -> tuple[bytes, dict[str, str]]:
        plain = changed(random, random.choice(recorded("VARZ")))
        packed = gzip.compress(plain, random.choice((0, 1, 9)))
        if random.random() < 0.1:
            packed = random.choice((plain, zlib.compress(plain), packed + packed, packed + b"\0"))
        encoding = random.choice(("gzip", "gzip", "gzip", "snappy", "", "gzip\r\nx"))
        return torn(random, packed) if random.random() < 0.7 else packed, {
            "Content-Encoding": encoding
        }

    def read(given: tuple[bytes, dict[str, str]]) -> None:
        VARZ.decode(unpack(*given))

    taken, refused = survives("gzip", make, read, (Malformed,), 0.07)
    assert taken > 0
    assert refused > 0
