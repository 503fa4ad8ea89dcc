"""Micro services: what is read of whom and when, and what is known of instances."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import nats.errors
import pytest
from nats.aio.msg import Msg

from nats_insights.check import CONNZ_SERVICES, INFO, STATZ, Finding, Params, Service, check
from nats_insights.errors import Missing, TooSoon
from nats_insights.gather import services as reading
from nats_insights.gather.asking import Asker
from nats_insights.gather.services import Services as Reader
from nats_insights.gather.window import Window
from nats_insights.judge.auditor import Known
from nats_insights.model import services as model
from nats_insights.model.services import instances
from nats_insights.replies.connz import Host
from nats_insights.replies.heard import AccountOn
from nats_insights.testing import Server, Story, cluster, hung, lone, system

MINUTE = 60.0


@check("TEST_950", INFO, "health", needs=(STATZ, CONNZ_SERVICES))
def reader(service: Service, params: Params) -> Finding | None:
    """A service is looked at by this test.

    Finds: nothing at all, but has the agent read the services of all accounts.

    Why: it is a test.

    Do: nothing.
    """


def asked(story: Story, given: Any, after: float = MINUTE, lost: Any = ()) -> list[str]:
    """What an epoch reads, as "server account"."""
    read = []
    auditor = story.auditor
    due = auditor.due_services

    def noted() -> Any:
        found = yield from due()
        read.extend(f"{on.key[-1]} {on.account}" for on in found)
        return found

    auditor.due_services = noted
    story.hears(given, lost, after=after)
    auditor.due_services = due
    return read


def held(accepted: int = 9, subscriptions: int = 0, **services: int) -> Server:
    """A server with so many instances of each service of account APP."""
    running = {f"APP {name}": ("go 1",) * count for name, count in services.items()}
    statz = {
        "acc": "APP",
        "conns": sum(services.values()),
        "total_conns": sum(services.values()),
        "num_subscriptions": subscriptions,
    }
    return Server(
        services=running, accepted=accepted, replies={"STATZ": {"account_statz": [statz]}}
    )


def known(story: Story) -> dict[str, list[str]]:
    """The instances of each service."""
    return {
        " ".join(one.names): sorted(f"{i.server} {i.id}" for i in one.instances)
        for one in story.snapshot.each(Service)
    }


def test_accounts_with_clients_are_read_on_each_server():
    story = Story(checks=[reader])
    idle = {"account_statz": [{"acc": "IDLE"}, {"acc": "LEAF", "total_conns": 1, "leafnodes": 1}]}
    given = system(
        cluster(
            n1=Server(1, {"B bob": 1, "$SYS admin": 1}),
            n2=Server(users={"B b": 1}),
            n3=Server(replies={"STATZ": idle}),
        )
    )
    assert asked(story, given) == ["n1 APP", "n1 B", "n2 B", "n3 LEAF"]
    assert asked(story, given, 10.0) == []  # Not due.


CHANGES = {
    "nothing": (held(orders=1), []),
    "a connection": (held(orders=2), ["n1 APP"]),
    "a subscription": (held(orders=1, subscriptions=1), ["n1 APP"]),
    "a connection for another": (held(orders=1, accepted=10), ["n1 APP"]),
}


@pytest.mark.parametrize(("server", "expected"), CHANGES.values(), ids=CHANGES)
def test_they_are_read_again_where_something_came_or_went(server, expected):
    story = Story(checks=[reader])
    assert asked(story, system(lone(n1=held(orders=1)))) == ["n1 APP"]
    assert asked(story, system(lone(n1=server))) == expected


def test_they_are_read_again_after_an_hour():
    story, given = Story(checks=[reader]), system(lone(n1=held(orders=1)))
    asked(story, given)
    assert [asked(story, given, 1200.0) for _ in range(4)] == [[], [], ["n1 APP"], []]


def test_what_was_not_read_is_read_in_the_next_epoch():
    story, given = Story(checks=[reader]), system(lone(n1=held(orders=1)))
    for _ in range(2):
        assert asked(story, given, lost=[("n1", "CONNZ_SERVICES")]) == ["n1 APP"]
    assert asked(story, given) == ["n1 APP"]
    assert asked(story, given) == []


def test_of_too_many_the_oldest_come_first(monkeypatch):
    monkeypatch.setattr(model, "AT_ONCE", 2)
    story = Story(checks=[reader])
    moving = [
        system(lone(**{name: held(other=1, accepted=number) for name in ("n1", "n2", "n3")}))
        for number in range(5, 8)
    ]
    read = [asked(story, one) for one in moving]
    assert read == [["n1 APP", "n2 APP"], ["n3 APP", "n1 APP"], ["n2 APP", "n1 APP"]]


def test_accounts_with_services_come_earlier(monkeypatch):
    monkeypatch.setattr(model, "AT_ONCE", 1)
    story = Story(checks=[reader])

    def moving(number: int) -> Any:
        users = {f"{account} app": 1 for account in ("A", "B")}
        return system(lone(n1=Server(users=users, services={"S s": ("go",)}, accepted=number)))

    read = [asked(story, moving(number), 240.0)[0] for number in range(12)]
    assert read[:3] == ["n1 A", "n1 B", "n1 S"]
    assert [read.count(f"n1 {account}") for account in "ABS"] == [3, 3, 6]


def test_what_has_its_turn_later_is_expected_to_be_unknown(monkeypatch):
    monkeypatch.setattr(model, "AT_ONCE", 2)
    story = Story(checks=[reader])
    others = {f"A{n} app": 1 for n in range(3)}
    given = system(
        cluster(
            n1=Server(users=others, services={"S s": ("go",)}),
            n2=Server(users=others, services={"S s": ("go",)}),
        )
    )
    # Once one instance is known, its account comes first on all other servers.
    assert [asked(story, given) for _ in range(3)] == [
        ["n1 A0", "n1 A1"],
        ["n1 A2", "n1 S"],
        ["n2 S", "n2 A0"],
    ]
    assert known(story) == {"S s": ["n1 n1-0", "n2 n2-0"]}
    other = Story(checks=[reader])
    for _ in range(2):
        asked(other, given)
    with pytest.raises(TooSoon, match="more epochs"):
        known(other)
    assert other.snapshot.lacking.owed["CONNZ_SERVICES"] == set()


def test_instances_are_known_until_their_server_says_otherwise():
    story = Story(checks=[reader])
    two = system(cluster(n1=held(orders=2), n2=held(orders=1)))
    asked(story, two)
    assert known(story) == {"APP orders": ["n1 n1-0", "n1 n1-1", "n2 n2-0"]}
    story.hears(system(cluster(n1=held(orders=2), n2=hung)), after=MINUTE)
    with pytest.raises(Missing, match="STATZ of n2"):
        known(story)
    story.hears(system(cluster(n1=held(orders=1), n2=held(orders=1))), after=MINUTE)
    assert known(story) == {"APP orders": ["n1 n1-0", "n2 n2-0"]}
    story.hears(system(cluster(n1=held(orders=1), n2=Server())), after=MINUTE)
    assert known(story) == {"APP orders": ["n1 n1-0"]}


def test_a_server_that_was_never_read_may_have_instances():
    story = Story(checks=[reader])
    story.hears(system(cluster(n1=held(orders=1), n2=held(orders=1))), [("n2", "CONNZ_SERVICES")])
    with pytest.raises(Missing, match="CONNZ_SERVICES of n2") as missing:
        known(story)
    assert missing.type is Missing
    assert story.snapshot.lacking.owed["CONNZ_SERVICES"] == {("C1", "n2")}
    story.hears(system(cluster(n1=held(orders=1), n2=held(orders=1))), after=MINUTE)
    assert not story.snapshot.lacking.owed["CONNZ_SERVICES"]


def test_what_moves_while_servers_are_read_in_turns_is_not_absent(monkeypatch):
    story = Story(checks=[reader])
    here = system(cluster(n1=held(orders=1), n2=held(other=1)))
    story.hears(here)
    # It goes from n1 to n2, of which only n1 is read in this epoch, and n2 in the next.
    there = system(cluster(n1=held(other=1, accepted=10), n2=held(orders=1, accepted=10)))
    story.hears(there, [("n2", "CONNZ_SERVICES")], after=MINUTE)
    (orders, _) = story.snapshot.each(Service)
    with pytest.raises(Missing, match="CONNZ_SERVICES of n2"):
        _ = orders.absent
    story.hears(there, after=MINUTE)
    assert [one.absent for one in story.snapshot.each(Service)] == [0.0, 0.0]


def test_since_when_it_has_instances_survives_a_gap_of_minutes_and_no_longer():
    story = Story(checks=[reader])
    up, down = system(lone(n1=held(orders=1))), system(lone(n1=held(5, other=1)))
    start = story.now + MINUTE
    for one in (up, down, up):
        story.hears(one, after=299.0 if story.auditor.number else MINUTE)
    remembered = story.auditor.services.seen["APP", "orders"]
    assert (remembered.since, remembered.last) == (start, start + 598.0)
    story.hears(down, after=MINUTE)
    story.hears(up, after=540.0)
    assert story.auditor.services.seen["APP", "orders"].since == story.now


def test_a_clock_that_was_set_back_forgets_nothing():
    story = Story(checks=[reader])
    story.hears(system(lone(n1=held(orders=1))))
    story.hears(system(lone(n1=held(5, other=1))), after=-20.0)
    assert ("APP", "orders") in story.auditor.services.seen


def test_the_number_of_services_is_bounded(monkeypatch):
    monkeypatch.setattr(model, "MOST", 2)
    story = Story(checks=[reader])
    for _ in range(2):
        story.hears(system(lone(n1=held(a=1, b=1, c=1))), after=MINUTE)
    seen = story.auditor.services.seen
    assert list(seen) == [("APP", "a"), ("APP", "b")]
    assert {one.last for one in seen.values()} == {story.now}


def test_the_number_of_instances_is_bounded_and_those_beyond_count_as_not_read(monkeypatch):
    monkeypatch.setattr(model, "MOST_INSTANCES", 3)
    story = Story(checks=[reader])
    many, few = held(a=1, b=2), held(a=1)
    for n2, owing in ((few, {("", "n2")}), (many, {("", "n2")})):
        story.hears(system(lone(n1=many, n2=n2)), after=MINUTE)
        assert story.snapshot.lacking.owed["CONNZ_SERVICES"] == owing
        assert sum(one.instances for one in story.auditor.services.seen.values()) == 3
    # One that is gone makes room for the next epoch, and one that is read again takes its own.
    for n1, owing in ((few, {("", "n2")}), (few, set()), (held(a=2), set()), (held(b=2), set())):
        story.hears(system(lone(n1=n1, n2=few)), after=MINUTE)
        assert story.snapshot.lacking.owed["CONNZ_SERVICES"] == owing


def test_a_few_servers_are_named():
    story = Story(checks=[reader])
    story.hears(system(lone(**{f"n{i}": held(orders=1) for i in range(5)})))
    (one,) = story.auditor.services.seen.values()
    assert (one.instances, one.servers) == (5, ["n0", "n1", "n2"])


def test_a_server_owes_until_each_of_its_accounts_was_read():
    story = Story(checks=[reader])
    take = story.auditor.take_services
    story.auditor.take_services = lambda on, rows: on.account == "B" or take(on, rows)
    given = system(lone(n1=Server(users={"A a": 1, "B b": 1, "C c": 1}), n2=1))
    story.hears(given)
    assert story.snapshot.lacking.owed["CONNZ_SERVICES"] == {("", "n1")}


def test_a_server_that_left_another_request_without_a_reply_is_not_asked():
    story = Story(checks=[reader])
    due = story.auditor.due_services

    def with_a_slow_one() -> Any:
        story.auditor._unresponsive = {"id of  n1"}
        return due()

    story.auditor.due_services = with_a_slow_one
    assert asked(story, system(lone(n1=1, n2=1))) == ["n2 APP"]
    assert story.snapshot.lacking.owed["CONNZ_SERVICES"] == {("", "n1")}


def test_while_its_server_hangs_a_service_is_not_gone():
    story = Story(checks=[reader])
    for n2 in (held(orders=1), *[hung] * 12, held(orders=1)):
        story.hears(system(cluster(n1=1, n2=n2)), after=MINUTE)
    (one,) = story.auditor.services.seen.values()
    assert one.last - one.since == 13 * MINUTE


def test_another_process_goes_on_where_one_ended():
    story, other = Story(checks=[reader]), Story(checks=[reader])
    story.hears(system(lone(n1=held(orders=2))))
    stored = msgspec.json.encode(story.auditor.known)
    other.auditor.restore(msgspec.json.decode(stored, type=Known), story.now)
    other.now = story.now
    other.hears(system(lone(n1=held(other=1, accepted=10))), after=MINUTE)
    orders, _ = other.snapshot.each(Service)
    assert (orders.absent, orders.remembered.instances) == (MINUTE, 2)
    assert orders.remembered.servers == ["n1"]


def test_another_leader_starts_over():
    story = Story(checks=[reader])
    story.hears(system(lone(n1=held(orders=1))))
    story.auditor.start_over()
    assert story.auditor.services.seen == {}


def test_a_service_says_who_it_is():
    story = Story(checks=[reader])
    story.hears(system(lone(n1=held(orders=1))))
    (service,) = story.snapshot.each(Service)
    assert service.entity() == {
        "kind": "service",
        "id": "orders",
        "name": "orders",
        "account": "APP",
        "service": "orders",
    }
    assert Service.find(story.snapshot, ("APP", "orders")).names == service.names
    assert Service.find(story.snapshot, ("APP", "others")) is None


ON = AccountOn(("C1", "n1"), "N1", "APP")
SUBJECTS = {
    "$SRV.PING.orders.a1": ["orders a1"],
    "$SRV.PING.orders": [],
    "$SRV.PING": [],
    "$SRV.PING.*.*": [],
    "$SRV.PING.orders.*": [],
    "$SRV.PING.>": [],
    "$SRV.>": [],
    ">": [],
    "$SRV.INFO.orders.a1": [],
    "my.$SRV.PING.orders.a1": [],
    "$SRV.PING.long." + 241 * "x": ["long " + 241 * "x"],
    "$SRV.PING.long." + 242 * "x": [],
}


@pytest.mark.parametrize(("subject", "expected"), SUBJECTS.items(), ids=SUBJECTS)
def test_an_instance_is_recognised_by_the_subject_with_its_id(subject, expected):
    rows = [Host(kind="Client", subjects=(subject,))]
    assert [f"{one.service} {one.id}" for one in instances(ON, rows)] == expected


def test_the_library_is_that_of_the_client_and_not_of_a_leaf_node():
    rows = [
        Host(kind="Client", lang="go", version="1", subjects=("$SRV.PING.s.a",)),
        Host(kind="Leafnode", version="2.15.1", subjects=("$SRV.PING.s.a", "$SRV.PING.s.b")),
    ]
    for order in (rows, rows[::-1]):
        services = model.Services()
        story = Story(checks=[reader])
        story.hears(system(lone(n1=1)))
        list(services.due(story.snapshot, ()))
        services.take(AccountOn(("", "n1"), "N1", "APP"), order)
        list(services.end())
        named = {(one.id, one.lang, one.version) for one in services.instances(("APP", "s"))}
        assert named == {("a", "go", "1"), ("b", "", "")}


# --- Requests.


class Answering(Asker):
    """An asker whose requests are answered with these rows, as a server would."""

    def __init__(self, *rows: dict[str, Any], problem: Exception | None = None) -> None:
        self.rows, self.problem = rows, problem
        self.asked: list[dict[str, Any]] = []
        self.complaints: list[str] = []
        self.denied: set[str] = set()
        self.own = ""

    async def ask(self, endpoint: Any, server_id: str, body: bytes = b"", timeout: Any = 0) -> Msg:
        self.asked.append(json.loads(body))
        if self.problem is not None:
            raise self.problem
        listed = self.asked[-1].get("subscriptions")
        rows = [
            {key: value for key, value in row.items() if listed or key != "subscriptions_list"}
            for row in self.rows
        ]
        reply = {"server": {"id": self.own or server_id}, "data": {"connections": rows}}
        return Msg(None, data=json.dumps(reply).encode())  # type: ignore[arg-type]

    def complain(self, endpoint: Any, whose: str, problem: object) -> None:
        self.complaints.append(str(problem))


async def read(asker: Answering, *wanted: AccountOn) -> list[tuple[str, list[Any]]]:
    taken = []
    services = Reader(asker, Window(2**20))  # type: ignore[arg-type]
    await services.read(wanted or [ON], lambda on, rows: taken.append((on.account, rows)))
    return taken


async def test_who_has_no_services_is_asked_once():
    asker = Answering()
    assert await read(asker) == [("APP", [])]
    assert asker.asked == [{"acc": "APP", "filter_subject": "$SRV.PING.*.*", "limit": 4096}]


async def test_who_has_some_is_asked_for_the_subscriptions():
    asker = Answering({"subscriptions": 1, "subscriptions_list": ["$SRV.PING.s.a"]})
    ((_, (row,)),) = await read(asker)
    assert row.subjects == ("$SRV.PING.s.a",)
    assert [one.get("subscriptions") for one in asker.asked] == [None, True]


LIMITS = {
    "as many subscriptions as fit": ([{"subscriptions": 10}], True),
    "more": ([{"subscriptions": 6}, {"subscriptions": 5}], False),
    "as many connections as a reply has": ([{"subscriptions": 1}] * 3, False),
}


@pytest.mark.parametrize(("rows", "fits"), LIMITS.values(), ids=LIMITS)
async def test_lists_that_are_too_long_are_not_requested(monkeypatch, rows, fits):
    monkeypatch.setattr(reading, "MOST_SUBJECTS", 10)
    monkeypatch.setattr(reading, "MOST_ROWS", 3)
    asker = Answering(*rows)
    taken = await read(asker)
    assert (bool(taken), len(asker.asked)) == (fits, 1 + fits)
    assert asker.complaints == ([] if fits else ["more subscriptions than fit into a reply"])


@pytest.mark.parametrize(("most", "fits"), [(2, True), (1, False)])
async def test_more_instances_than_are_counted_are_not_taken(monkeypatch, most, fits):
    monkeypatch.setattr(reading, "MOST_NAMED", most)
    asker = Answering({"subscriptions": 3, "subscriptions_list": ["$SRV.PING.s.a"] * 2 + ["b"]})
    assert bool(await read(asker)) == fits
    assert asker.complaints == ([] if fits else ["more instances than are counted"])


async def test_another_servers_reply_is_not_taken():
    asker = Answering()
    asker.own = "N2"
    assert await read(asker) == []
    assert asker.complaints == ["another server's reply"]


async def test_where_many_hang_the_others_are_not_waited_for():
    asker = Answering(problem=nats.errors.TimeoutError())
    wanted = [AccountOn(("C1", "n1"), "N1", f"A{n}") for n in range(100)]
    assert await read(asker, *wanted) == []
    assert len(asker.asked) == reading.MOST_LATE


async def test_who_may_not_ask_one_server_asks_no_other():
    asker = Answering()
    asker.denied = {CONNZ_SERVICES.key}
    assert await read(asker) == []
    assert asker.asked == []
