"""CONNZ pages, filters and orders connections as real servers do."""

from __future__ import annotations

from typing import Any

import pytest

from kit.fleet.asking import ask, cids
from nats_insights.lab.fleet.model import BORN, SYSTEM_ACCOUNT, Fleet, User

APP = User(account="APP", name="app", program="orders")
OPS = User(account="OPS", name="ops")
GLOBAL = User(account="$G", name="anyone")
LEAF = User(account="APP", name="edge", kind="leaf")


def crowded(connections: int) -> Fleet:
    fleet = Fleet({"C1": ["a"]})
    fleet.open(fleet.server("a"), APP, connections)
    return fleet


@pytest.fixture
def mixed() -> Fleet:
    """Cids 21, 22, 23 of APP with 1, 5, 3 subscriptions; 24 a leaf; 25 of OPS; 26 of $G."""
    fleet = Fleet({"C1": ["a", "b"]})
    server = fleet.server("a")
    for subscriptions in (1, 5, 3):
        fleet.open(server, APP, subscriptions=subscriptions)
    fleet.open(server, LEAF, subscriptions=9)
    fleet.open(server, OPS, subscriptions=2)
    fleet.open(server, GLOBAL, subscriptions=4)
    return fleet


def page(fleet: Fleet, **options: Any) -> dict[str, Any]:
    return dict(ask(fleet, "a", "CONNZ", options)["data"])


@pytest.mark.parametrize(
    ("connections", "pages"), [(1023, [1023]), (1024, [1024]), (1025, [1024, 1])]
)
def test_pages_of_the_default_size_hold_every_connection_once(
    connections: int, pages: list[int]
) -> None:
    fleet = crowded(connections)
    seen: list[int] = []
    sizes = []
    while len(seen) < connections:
        data = page(fleet, offset=len(seen))
        assert (data["total"], data["limit"], data["offset"]) == (connections, 1024, len(seen))
        assert data["num_connections"] == len(data["connections"])
        sizes.append(data["num_connections"])
        seen += [row["cid"] for row in data["connections"]]
    assert sizes == pages
    assert seen == list(fleet.server("a").cids)


def test_no_limit_is_too_large() -> None:
    assert len(cids(crowded(3000), "a", {"limit": 100_000})) == 3000


@pytest.mark.parametrize(
    ("options", "echoed"),
    [
        ({"limit": -2, "offset": -4}, (0, 1024)),
        ({"limit": 0}, (0, 1024)),
        ({"limit": 2, "offset": 1}, (1, 2)),
        ({"cid": 21, "limit": 50}, (0, 1)),
    ],
)
def test_offset_and_limit_are_echoed_as_they_were_taken(
    mixed: Fleet, options: dict[str, int], echoed: tuple[int, int]
) -> None:
    data = page(mixed, **options)
    assert (data["offset"], data["limit"]) == echoed


def test_an_offset_beyond_the_end_gives_an_empty_list(mixed: Fleet) -> None:
    data = page(mixed, offset=6)
    assert (data["connections"], data["num_connections"], data["total"]) == ([], 0, 6)


def test_only_the_account_and_the_state_reduce_the_total(mixed: Fleet) -> None:
    told = {
        name: ([row["cid"] for row in data["connections"]], data["total"])
        for name, data in {
            "all": page(mixed),
            "account": page(mixed, acc="APP"),
            "user": page(mixed, user="ops"),
            "user of an account": page(mixed, acc="APP", user="ops"),
            "cid": page(mixed, cid=23),
            "unknown cid": page(mixed, cid=99),
            "closed": page(mixed, state=1),
            "open and closed": page(mixed, state=2),
            "mqtt client": page(mixed, mqtt_client="x"),
        }.items()
    }
    assert told == {
        "all": ([21, 22, 23, 24, 25, 26], 6),
        "account": ([21, 22, 23, 24], 4),
        "user": ([25], 6),
        "user of an account": ([], 4),
        "cid": ([23], 6),
        "unknown cid": ([], 6),
        "closed": ([], 0),
        "open and closed": ([21, 22, 23, 24, 25, 26], 6),
        "mqtt client": ([], 6),
    }


def test_an_unknown_account_has_no_list_and_no_server(mixed: Fleet) -> None:
    data = page(mixed, acc="NOBODY")
    assert (data["connections"], data["total"], data["server_id"]) == (None, 0, "")


def test_filters_are_paged_too(mixed: Fleet) -> None:
    assert cids(mixed, "a", {"acc": "APP", "offset": 1, "limit": 2}) == [22, 23]


def test_the_most_subscriptions_come_first_when_sorted_by_them(mixed: Fleet) -> None:
    assert cids(mixed, "a", {"sort": "subs", "limit": 3}) == [24, 22, 26]


@pytest.mark.parametrize(
    ("body", "code", "description"),
    [
        (b'{"sort":"size"}', 500, "invalid sorting option: size"),
        (b'{"sort":"stop"}', 500, "sort by stop only valid on closed connections"),
        (b'{"filter_subject":"a"}', 500, "filter by subject only valid with account filtering"),
        (b'{"state":"open"}', 400, "json: Expected `int`, got `str` - at `$.state`"),
        (b'{"limit":2.0}', 400, "json: Expected `int`, got `float` - at `$.limit`"),
        (b"[]", 400, "json: Expected `object`, got `array`"),
        (b"{bad", 400, "json: JSON is malformed: object keys must be strings (byte 1)"),
    ],
)
def test_wrong_options_are_refused(mixed: Fleet, body: bytes, code: int, description: str) -> None:
    reply = ask(mixed, "a", "CONNZ", body)
    assert reply["error"] == {"code": code, "description": description}
    assert reply.get("data") is None
    assert ("data" in reply) == (code == 500)


@pytest.mark.parametrize("body", [b"", b"{}", b"null", b'{"limit":null,"unheard_of":1}'])
def test_what_says_nothing_changes_nothing(mixed: Fleet, body: bytes) -> None:
    assert cids(mixed, "a", body) == [21, 22, 23, 24, 25, 26]


def test_logins_are_told_only_when_asked_for(mixed: Fleet) -> None:
    login = ("authorized_user", "account", "name_tag")
    bare, full = page(mixed), page(mixed, auth=True)
    told = [{key: row[key] for key in login if key in row} for row in full["connections"]]
    assert [key for row in bare["connections"] for key in row if key in login] == []
    assert told[0] == {"authorized_user": "app", "account": "APP", "name_tag": "APP"}
    # As on real servers, absent means $G.
    assert told[5] == {"authorized_user": "anyone", "name_tag": "$G"}


def test_rows_are_the_connections_of_the_model(mixed: Fleet) -> None:
    rows = page(mixed, auth=True)["connections"]
    told = [
        (row["cid"], row.get("account", "$G"), row["authorized_user"], row["subscriptions"])
        for row in rows
    ]
    held = mixed.connections(mixed.server("a"))
    assert told == [(c.cid, c.user.account, c.user.name, c.subscriptions) for c in held]


def test_a_page_read_before_is_not_what_it_was_after_a_change(mixed: Fleet) -> None:
    assert cids(mixed, "a") == [21, 22, 23, 24, 25, 26]
    mixed.close(mixed.server("a"), 22)
    mixed.open(mixed.server("a"), OPS)
    assert cids(mixed, "a") == [21, 23, 24, 25, 26, 27]


def test_a_page_is_made_once_as_long_as_nothing_changes(mixed: Fleet) -> None:
    ask(mixed, "a", "CONNZ", {"limit": 4})
    (kept,) = mixed.server("a").pages.values()
    ask(mixed, "a", "CONNZ", {"limit": 4})
    (found,) = mixed.server("a").pages.values()
    assert found is kept


def test_only_so_many_pages_are_kept() -> None:
    fleet = crowded(200)
    for limit in range(1, 200):
        assert len(cids(fleet, "a", {"limit": limit})) == limit
    assert len(fleet.server("a").pages) <= 64


def test_pages_that_end_alike_are_not_the_same_page(mixed: Fleet) -> None:
    told = [cids(mixed, "a", {"offset": offset, "limit": 4 - offset}) for offset in (0, 2)]
    assert told == [[21, 22, 23, 24], [23, 24]]


def test_rows_tell_when_they_began_and_for_how_long_they_have_been_there() -> None:
    now = [BORN]
    fleet = Fleet({"C1": ["a"]}, clock=lambda: now[0])
    fleet.open(fleet.server("a"), APP)
    now[0] += 3_600 + 60
    row = page(fleet)["connections"][0]
    # It was heard from some seconds ago: as many as its cid.
    told = row["start"][:19], row["last_activity"][:19], row["uptime"], row["idle"]
    assert told == ("2025-01-01T00:00:00", "2025-01-01T01:00:39", "1h1m0s", "21s")


def test_hostile_names_arrive_as_they_are() -> None:
    fleet = Fleet({"C1": ["a"]})
    hostile = 'q"\\u\n%d{0}é'
    user = User(account=hostile, name=hostile, program=hostile, lang=hostile)
    fleet.open(fleet.server("a"), user)
    row = page(fleet, auth=True)["connections"][0]
    told = (row["account"], row["authorized_user"], row["name"], row["lang"])
    assert told == (hostile, hostile, f"{hostile}-21", hostile)


def test_leaf_nodes_are_in_the_list_but_are_no_clients(mixed: Fleet) -> None:
    mixed.open(mixed.server("a"), User(account=SYSTEM_ACCOUNT, name="observer"))
    varz = ask(mixed, "a", "VARZ")["data"]
    assert (page(mixed)["total"], varz["connections"], varz["leafnodes"]) == (7, 6, 1)
