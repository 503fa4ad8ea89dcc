"""Sums over shards: what is counted for others, merged, unknown, and left out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from nats_insights import checks
from nats_insights.checks.change.config_reloaded import config_reloaded
from nats_insights.checks.cluster.gateway_disconnection import gateway_disconnection
from nats_insights.checks.conn.outdated_clients import by_library, outdated_clients
from nats_insights.checks.opt_balance.connection_hotspot import connection_hotspot
from nats_insights.checks.opt_balance.subscription_hotspot import subscription_hotspot
from nats_insights.checks.server.version_mismatch import version_mismatch
from nats_insights.checks.service.service_down import service_down
from nats_insights.checks.user.connection_leak import connection_leak
from nats_insights.checks.user.excessive_user_connections import excessive_user_connections
from nats_insights.config import parse
from nats_insights.facts import MOST_SHARDS, Counted
from nats_insights.judge.audit import Key
from nats_insights.judge.declare import discover
from nats_insights.judge.shards import left, merges, spans
from nats_insights.model.fold import by_user
from nats_insights.model.nouns.noun import ALL_SERVERS
from nats_insights.model.shards import Shards, Share
from nats_insights.testing import Server, Story, System, cluster, dead, hung, row, system

LASTING = 1000.0
APP = Key("USER_002", ("APP", "app"))
EVERY = tuple(discover(checks))


def table(name: str, *others: str) -> str:
    """The configuration of a shard whose cluster has its name in capitals."""
    own = {"name": name, "clusters": [name.upper()], "others": others}
    written = {key: msgspec.json.encode(value).decode() for key, value in own.items()}
    return "".join(f"shard.{key} = {value}\n" for key, value in written.items())


class Divided:
    """An agent for each shard: `hears` runs an epoch of each, after which they hear its share."""

    def __init__(self, *names: str, checks: Any = (excessive_user_connections,), more: str = ""):
        self.stories = {
            name: Story(more + table(name, *(one for one in names if one != name)), checks)
            for name in names
        }

    def __getitem__(self, name: str) -> Story:
        return self.stories[name]

    def share(self, name: str) -> Share:
        share = self[name].auditor.share
        assert share is not None
        return msgspec.json.decode(msgspec.json.encode(share), type=Share)

    def tell(self, name: str, **changed: Any) -> None:
        """What a shard contributes is heard by the others, changed if wanted."""
        for other, story in self.stories.items():
            if other != name:
                valid = replace(self.share(name), until=story.now + LASTING)
                story.auditor.shards.hear(replace(valid, **changed))

    def hears(self, after: float = 30.0, **systems: int | System) -> list[str]:
        """An epoch of each shard, with a system or so many connections of user `app`."""
        told = []
        for name, given in systems.items():
            if isinstance(given, int):
                given = system(cluster(name.upper(), **{f"{name}1": given}))
            told += self[name].hears(given, after=after)
            self.tell(name)
        return told

    def goes_on(self, **systems: int | System) -> list[str]:
        """As many epochs as it takes until all follows what is there now."""
        return [one for _ in range(6) for one in self.hears(**systems)]


def counts(divided: Divided, name: str, fold: Any = by_user) -> dict[Any, int]:
    return dict(divided.share(name).folds[fold.name].counts)


def test_a_sum_that_no_shard_exceeds_is_found_once_and_resolves_once():
    two = Divided("eu", "us")
    assert two.goes_on(eu=60, us=60) == ["opened USER_002 APP app"]
    assert two["eu"].lives[APP].value == 120
    assert two["us"].lives == {}
    # 95 is between the eased limit and the strict one.
    assert two.goes_on(eu=60, us=35) == ["updated USER_002 APP app"]
    assert two.goes_on(eu=55, us=35) == ["resolved USER_002 APP app"]
    assert two["eu"].lives == {}


def test_each_of_many_shards_may_have_a_small_part():
    four = Divided("a", "b", "c", "d")
    four.goes_on(a=0, b=30, c=21, d=50)
    assert four["a"].lives[APP].value == 101
    assert {name: counts(four, name) for name in "bc"} == {
        "b": {("APP", "app"): 30},
        "c": {("APP", "app"): 21},
    }


def test_the_first_shard_by_name_judges_and_the_others_say_so():
    three = Divided("b", "c", "a")
    three.hears(a=1, b=200, c=1)
    outcome = three["b"].audit.outcomes["USER_002"]
    assert (outcome.why, outcome.excused) == ("shard a judges it for all shards", True)
    assert three["b"].lives == {}
    assert three["b"].auditor.sweeps.ledgers[by_user].part(("shard a",)) is None
    assert three["a"].auditor.shards.judges


def test_only_what_is_above_a_part_of_the_limit_is_counted():
    two = Divided("eu", "us")
    two.goes_on(eu=45, us=45)
    assert (counts(two, "eu"), counts(two, "us")) == ({}, {})
    two.goes_on(eu=46, us=3)
    assert (counts(two, "eu"), counts(two, "us")) == ({("APP", "app"): 46}, {("APP", "app"): 3})
    two.goes_on(eu=45, us=3)
    # What is listed only because the other lists it ends, though each sees it with the other.
    assert (counts(two, "eu"), counts(two, "us")) == ({}, {})


def test_what_is_open_is_asked_for_however_small_it_is():
    two = Divided("eu", "us")
    two.goes_on(eu=60, us=60)
    two.hears(eu=40, us=44)
    assert two.share("eu").folds["by_user"].asked == [("APP", "app")]
    assert (counts(two, "eu"), counts(two, "us")) == ({("APP", "app"): 40}, {("APP", "app"): 44})


def test_a_key_that_is_new_in_one_shard_is_unknown_until_the_other_has_counted_it():
    two = Divided("eu", "us")
    two.goes_on(eu=10, us=10)
    more = Server(users={"APP app": 60, "APP many": 101})
    two["eu"].hears(system(cluster("EU", eu1=more)))
    assert two["eu"].found == {"APP many"}  # However many it has elsewhere.
    outcome = two["eu"].audit.outcomes["USER_002"]
    assert (outcome.unknown, outcome.why) == (1, "its count in shard us")
    assert outcome.excused  # It will be known soon.
    for _ in range(2):
        two.tell("us")  # It goes on as if it had not heard.
        two["eu"].hears(system(cluster("EU", eu1=60)), after=LASTING)
    outcome = two["eu"].audit.outcomes["USER_002"]
    assert (outcome.unknown, outcome.why, outcome.excused) == (1, "its count in shard us", False)
    two.tell("eu")
    two.hears(us=10)
    two["eu"].hears(system(cluster("EU", eu1=60)))
    assert two["eu"].audit.outcomes["USER_002"].why == ""


def test_what_is_open_stays_while_its_count_elsewhere_is_unknown():
    two = Divided("eu", "us")
    two.goes_on(eu=60, us=60)
    counted = replace(two.share("us").folds["by_user"], counts=[])
    for _ in range(4):
        two.tell("us", folds={"by_user": counted})
        assert two["eu"].hears(system(cluster("EU", eu1=60))) == []
    assert two["eu"].lives[APP].stale == "its count in shard us"
    # 45 at most there, so 40 here are clear.
    for _ in range(3):
        two.tell("us", folds={"by_user": counted})
        two["eu"].hears(system(cluster("EU", eu1=40)))
    assert two["eu"].lives == {}


def test_nothing_is_judged_of_counts_that_were_judged_before():
    """All clients of a user move from one shard to another, whose epochs are rarer."""
    two = Divided("eu", "us")
    two.goes_on(eu=120, us=0)
    assert two["eu"].lives[APP].is_open
    two.hears(eu=0)
    cleared = two["eu"].lives[APP].cleared
    for _ in range(5):
        two.hears(eu=0)
        assert two["eu"].audit.outcomes["USER_002"].not_due
    assert two["eu"].lives[APP].cleared == cleared
    assert two.goes_on(eu=0, us=120) == []
    assert two["eu"].lives[APP].cleared == 0


def test_a_sum_over_shards_opens_and_resolves_an_evaluation_later():
    alone = Story(checks=[excessive_user_connections])
    two = Divided("eu", "us")
    two.goes_on(eu=1, us=1)
    for there, late in ((200, "opened"), (0, "resolved")):
        given = system(cluster("EU", eu1=there, eu2=0))
        needed = {"alone": 0, "divided": 0}
        while not any(told.startswith(late) for told in alone.hears(given)):
            needed["alone"] += 1
        while not any(told.startswith(late) for told in two.hears(eu=there, us=0)):
            needed["divided"] += 1
        # Beside the one for what is torn, which is two where a finding opens at once.
        assert (
            needed
            == {"opened": {"alone": 0, "divided": 2}, "resolved": {"alone": 1, "divided": 2}}[late]
        )


def test_counts_of_a_first_epoch_are_not_exact():
    two = Divided("eu", "us")
    exact = []
    for _ in range(2):
        two.hears(us=60)
        exact.append(two.share("us").folds["by_user"].exact)
    two["us"].auditor.start_over()
    for _ in range(2):
        two.hears(us=60)
        exact.append(two.share("us").folds["by_user"].exact)
    assert exact == [False, True, False, True]
    for _ in range(2):
        two.hears(eu=60)
    assert two.share("eu").folds["by_user"].exact
    lonely = Divided("eu", "us")
    for _ in range(2):
        lonely.hears(eu=60)
    assert lonely.share("eu").folds["by_user"].exact  # Whatever others owe.
    two["eu"].auditor.start_over()
    two["eu"].auditor.roster.adopt([])
    for _ in range(2):
        two.hears(eu=system())
    assert not two.share("eu").folds["by_user"].exact


def trouble(share: Share, **changed: Any) -> str:
    """Why a shard does not contribute to the agent of shard `eu`, "" if it does."""
    shards = Shards(parse(table("eu", "us")).shard)
    shards.hear(replace(share, **{"until": 100.0, **changed}))
    shards.begin(100.0, ["EU", "EU-2"])
    assert shards.troubles.keys() <= {share.shard}
    return shards.troubles.get(share.shard, "")


def test_who_does_not_contribute_is_named():
    share = Share(shard="us", others=["eu"], clusters=["US"], folds={})
    assert trouble(share) == ""
    assert trouble(share, until=99.9) == "shard us is silent"
    assert trouble(share, others=["eu", "ap"]) == "shard us has another list of shards"
    assert trouble(share, clusters=["EU-2", "US"]) == "cluster EU-2 is in this shard and in us"
    never = Shards(parse(table("eu", "us")).shard)
    never.begin(0.0, [])
    assert never.troubles == {"us": "shard us was never heard"}


def test_a_shard_that_nobody_expects_is_named_until_it_is_silent():
    shards = Shards(parse(table("eu", "us")).shard)
    for name in ("us", "ap"):
        others = [one for one in ("eu", "us") if one != name]
        shards.hear(Share(shard=name, others=others, clusters=[name], folds={}, until=9.0))
    shards.begin(1.0, ["EU"])
    assert shards.troubles == {"ap": "shard ap has another list of shards"}
    shards.begin(10.0, ["EU"])
    assert shards.troubles == {"us": "shard us is silent"}


def test_the_shards_that_nobody_expects_are_bounded():
    shards = Shards(parse(table("eu", "us")).shard)
    share = Share(shard="", others=[], clusters=[], folds={})
    heard = [shards.hear(replace(share, shard=f"s{n}")) for n in range(MOST_SHARDS + 1)]
    assert heard == [True] * MOST_SHARDS + [False]
    assert shards.hear(replace(share, shard="us"))
    assert shards.hear(replace(share, shard="s0"))


@pytest.mark.parametrize(
    "change",
    [
        {"until": 0.0},
        {"others": ["eu", "ap"]},
        {"clusters": ["EU"]},
        {"folds": {}},
        {"folds": {"by_user": Counted(floor=45.0, exact=False, counts=[(("APP", "app"), 60)])}},
        # It has other limits, or leaves out too much.
        {"folds": {"by_user": Counted(floor=45.1, exact=True, counts=[(("APP", "app"), 60)])}},
    ],
)
def test_without_a_shard_a_sum_is_a_lower_bound_and_resolves_nothing(change):
    two = Divided("eu", "us", checks=[excessive_user_connections, subscription_hotspot])
    two.goes_on(eu=60, us=60)
    told = []
    for _ in range(4):
        two.tell("us", **change)
        told += two["eu"].hears(system(cluster("EU", eu1=20)))
    assert told == []
    outcome = two["eu"].audit.outcomes["USER_002"]
    assert (outcome.unknown, outcome.why, outcome.excused) == (1, "CONNZ of shard us", False)
    assert two["eu"].lives[APP].stale == "CONNZ of shard us"
    # What lies in one shard needs no other one.
    assert two["eu"].audit.outcomes["OPT_BALANCE_003"].why == ""
    two.tell("us", **change)
    two["eu"].hears(system(cluster("EU", eu1=300)))
    assert (two["eu"].lives[APP].value, two["eu"].lives[APP].partial) == (300, "CONNZ of shard us")


def test_what_a_server_owes_makes_the_counts_of_its_shard_inexact():
    two = Divided("eu", "us")
    for last in (hung, dead, Server(30)):
        two.hears(eu=60, us=system(cluster("US", us1=30, us2=last)))
        share = two.share("us").folds["by_user"]
        assert share.exact is (last is not hung and last is not dead)
    lost = system(cluster("US", us1=31, us2=30))
    two["us"].hears(lost, lost=[("us1", "CONNZ")])
    assert not two.share("us").folds["by_user"].exact
    two["us"].hears(lost, denied=["CONNZ"])
    assert not two.share("us").folds["by_user"].exact


def test_what_small_replies_rule_out_needs_no_sweep_unless_another_shard_asks():
    two = Divided("eu", "us", checks=[excessive_user_connections, connection_hotspot])
    two.goes_on(eu=10, us=45)
    assert two["us"].swept == 0
    assert two.share("us").folds["by_user"] == Counted(floor=45.0, exact=True, counts=[])
    two.hears(eu=10, us=46)
    assert two["us"].swept == 1
    two.hears(eu=60, us=44)
    assert two["us"].swept == 1  # It was told of 60 before.
    assert counts(two, "us") == {("APP", "app"): 44}
    two.hears(eu=60, us=43)
    assert (two["us"].swept, counts(two, "us")) == (1, {("APP", "app"): 43})


def test_what_is_not_due_is_told_again():
    two = Divided("eu", "us", more="gather.every = { CONNZ = '10m' }\n")
    two.hears(eu=60, us=60)
    two.hears(eu=60, us=70)
    assert counts(two, "us") == {("APP", "app"): 60}
    two.hears(eu=60, us=70, after=600.0)
    assert counts(two, "us") == {("APP", "app"): 70}


def test_a_sum_of_all_counts_needs_all_of_them():
    two = Divided("eu", "us", checks=[outdated_clients])
    libraries = {
        name: system(cluster(name.upper(), **{name: Server(rows=[row(lang="go", version=v)] * 12)}))
        for name, v in (("eu", "1.1.0"), ("us", "1.40.0"))
    }
    for _ in range(2):
        two["us"].hears(libraries["us"])
    two.tell("us")
    assert counts(two, "us", by_library) == {("go", "1.40.0"): 12}
    assert two.share("us").folds["by_library"].floor == 0.0
    two["eu"].hears(libraries["eu"])
    (found,) = two["eu"].audit.found.values()
    assert found.finding.value == 12
    two["eu"].auditor.shards.shares.clear()
    two["eu"].hears(libraries["eu"], after=14_400.0)
    outcome = two["eu"].audit.outcomes["CONN_902"]
    assert (outcome.why, outcome.excused) == ("CONNZ_SURVEY of shard us", False)


@pytest.mark.parametrize("check", EVERY, ids=[check.code for check in EVERY])
def test_each_check_is_of_one_shard_or_merged_or_named(check):
    shards = Shards(parse(table("eu", "us")).shard)
    inside = check.about.depends_on != ALL_SERVERS and not check.about.across
    assert spans(check) is not inside
    assert left(check, Shards()) == ""
    if inside or merges(check):
        assert left(check, shards) == ""
    else:
        assert left(check, shards) == "it needs more than counts of the other shards"
    if merges(check):
        assert set(check.needs) == {fold.endpoint for fold in check.folds}


def test_counts_alone_are_not_all_that_some_checks_of_counts_read():
    assert merges(excessive_user_connections)
    assert not merges(connection_leak)  # It compares with earlier counts of this shard.
    assert not merges(service_down)


def test_what_cannot_be_merged_is_not_requested_and_not_passed():
    story = Story(table("eu", "us"), [service_down, version_mismatch])
    assert {one.key for one in story.auditor.plan.endpoints} == {"VARZ"}
    story.hears(system(cluster("EU", n1=1)))
    outcome = story.audit.outcomes[service_down.code]
    assert (outcome.judged, outcome.excused) == (0, True)
    assert outcome.why == "it needs more than counts of the other shards"
    assert story.audit.outcomes[version_mismatch.code].why == ""


def test_many_findings_of_one_cause_are_about_the_shard():
    story = Story(table("eu", "us"), [config_reloaded])
    shard = story.auditor._whole
    assert shard.names == ("system", "eu")
    assert (shard.entity()["id"], shard.entity()["name"]) == ("system", "eu")
    assert Story("", [config_reloaded]).auditor._whole.names == ("system",)


def test_clusters_of_other_shards_are_not_hidden():
    links = {"outbound_gateways": {"US": {}, "AP": {}}}
    server = Server(replies={"GATEWAYZ": links})
    story = Story(table("eu", "us"), [gateway_disconnection])
    hidden = []
    for clusters in (None, ["US"], ["US", "AP"]):
        if clusters:  # Before that the other shard may look at any cluster.
            share = Share(shard="us", others=["eu"], clusters=clusters, folds={})
            story.auditor.shards.hear(share)
        story.hears(system(cluster("EU", n1=server)), after=600.0)
        hidden.append(story.auditor.missed.hidden_clusters)
    assert hidden == [{}, {"AP": 1}, {}]


def test_the_largest_counts_are_kept_and_the_floor_says_so():
    counted = Counted(
        floor=5.0,
        exact=True,
        counts=[("a", 9), ("b", 7), ("c", 8), ("d", 2)],
        asked=["d", "e"],
    )
    assert counted.bounded(4) is counted
    assert counted.bounded(2) == Counted(
        floor=7.0, exact=True, counts=[("a", 9), ("c", 8)], asked=["d", "e"]
    )
    assert counted.bounded(1).asked == ["d"]
    # What is left out below the floor changes nothing.
    assert counted.bounded(3) == replace(counted, counts=[("a", 9), ("c", 8), ("b", 7)])
    assert counted.named() == {"a", "b", "c", "d", "e"}


def test_an_agent_that_is_not_divided_shares_nothing():
    story = Story("", [excessive_user_connections])
    story.hears(system(cluster("EU", n1=200)))
    assert story.auditor.share is None
    assert story.lives.keys() == {APP}
