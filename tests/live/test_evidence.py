"""The clients that an advisory names, on real servers: exactly those that make the finding up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.watching import Watch, watching
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers import local
from nats_insights.lab.servers.crowd import Crowd, Member

pytestmark = pytest.mark.live

# User, name of the client, its language, how many of it, on which server.
Group = tuple[str, str, str, int, str]

EVERYWHERE: list[Group] = [("app", "web", "nodejs", 6, name) for name in ("n1", "n2", "n3")]
# What sets off each check, and what its advisory names then: names and languages.
CAUSES: dict[str, tuple[str, list[Group], list[list[object]], list[list[object]]]] = {
    "USER_002": (
        "billing",
        [
            ("billing", "cron", "go", 34, "n1"),
            ("billing", "cron", "go", 20, "n2"),
            ("billing", "batch", "python", 33, "n3"),
            ("billing", "batch", "rust", 14, "n2"),
            ("app", "cron", "java", 7, "n3"),
        ],
        [["cron", 54], ["batch", 47]],
        [["go", 54], ["python", 33], ["rust", 14]],
    ),
    "SERVER_011": (
        "n3",
        [
            ("worker", "w", "go", 20, "n1"),
            ("worker", "w", "go", 20, "n2"),
            ("worker", "w", "go", 30, "n3"),
            ("billing", "cron", "java", 25, "n3"),
        ],
        [["w", 30], ["cron", 25], ["web", 6]],
        [["go", 30], ["java", 25], ["nodejs", 6]],
    ),
    "OPT_BALANCE_002": (
        "n1",
        [
            ("app", "web", "go", 3, "n1"),
            ("big", "mirror", "java", 9, "n1"),
            ("billing", "cron", "java", 11, "n1"),
        ],
        [["cron", 11], ["mirror", 9], ["web", 9]],
        [["java", 20], ["nodejs", 6], ["go", 3]],
    ),
    "OPT_BALANCE_006": (
        "BIG",
        [
            ("big", "mirror", "java", 7, "n1"),
            ("batch", "mirror", "java", 2, "n1"),
            ("batch", "loader", "go", 3, "n1"),
            ("batch", "loader", "go", 1, "n2"),
        ],
        [["mirror", 9], ["loader", 3]],
        [["java", 9], ["go", 3]],
    ),
}


@pytest.fixture(scope="module")
def system(binary: Path) -> Iterator[local.System]:
    limit = {"n3": "max_connections: 75"}
    with local.cluster("n1", "n2", "n3", binary=binary, options=limit) as system:
        yield system


async def join(crowd: Crowd, system: local.System, groups: list[Group]) -> list[Member]:
    """Has these clients connect."""
    members = []
    for user, client, lang, count, server in groups:
        name, password = system.user(user)
        members += await crowd.join(
            system[server].url, count, user=name, password=password, name=client, lang=lang
        )
    return members


def watched(system: local.System, more: str = ""):
    """The agent is on n1, and a subscriber of the system account on n3: neither is ever named."""
    return watching(system, listen=login(system, "root", "n3"), more=more)


async def findings(watch: Watch, **wanted: str) -> dict[tuple[str, str], Any]:
    """The evidence of what FINDINGS answers, by code and state."""
    body = json.dumps(wanted).encode()
    reply = json.loads((await watch.client.request("INSIGHTS.API.FINDINGS", body, timeout=10)).data)
    return {(one["code"], one["state"]): one["evidence"] for one in reply["findings"]}


@pytest.mark.parametrize("code", CAUSES)
async def test_an_advisory_names_the_clients_that_make_it_up(system, crowd, code):
    entity, groups, names, languages = CAUSES[code]
    await join(crowd, system, EVERYWHERE + groups)
    async with watched(system) as watch:
        await watch.until(lambda: (code, entity) in watch.open)
        count = sum(many for _, many in names)
        assert watch.open[code, entity].evidence["clients"] == {
            "by": "connections",
            "sampled": count,
            "names": {"top": names, "left_out": 0},
            "addresses": {"top": [["127.0.0.1", count]], "left_out": 0},
            "languages": {"top": languages, "left_out": 0},
        }
        told = watch.open[code, entity].evidence
        assert (await findings(watch))[code, "open"] == told


async def test_of_many_connections_those_with_most_subscriptions_are_named(system, crowd):
    user, password = system.user("worker")
    await crowd.join(system["n2"].url, 1030, user=user, password=password, name="idle", lang="c")
    for name, lang, subscriptions in (
        ("big", "go", 400),
        ("small", "go", 90),
        ("huge", "java", 900),
    ):
        await crowd.join(
            system["n2"].url,
            1,
            user=user,
            password=password,
            name=name,
            lang=lang,
            subscriptions=subscriptions,
        )
    async with watched(system) as watch:
        await watch.until(lambda: ("OPT_BALANCE_003", "n2") in watch.open)
        assert watch.open["OPT_BALANCE_003", "n2"].evidence["clients"] == {
            "by": "subscriptions",
            "sampled": 1024,
            "names": {
                "top": [["huge", 900], ["big", 400], ["small", 90], ["idle", 0]],
                "left_out": 0,
            },
            "addresses": {"top": [["127.0.0.1", 1390]], "left_out": 0},
            "languages": {"top": [["java", 900], ["go", 490], ["c", 0]], "left_out": 0},
        }


async def test_of_many_names_the_ten_largest_are_told(system, crowd):
    user, password = system.user("app")
    for number in range(13):
        await crowd.join(
            system["n1"].url, 1 + number % 3, user=user, password=password, name=f"p{number:02}"
        )
    async with watched(system) as watch:
        await watch.until(lambda: ("OPT_BALANCE_002", "n1") in watch.open)
        clients = watch.open["OPT_BALANCE_002", "n1"].evidence["clients"]
        assert clients["sampled"] == 25
        assert clients["names"]["left_out"] == 3
        assert [" ".join(map(str, one)) for one in clients["names"]["top"]] == [
            *("p02 3", "p05 3", "p08 3", "p11 3"),
            *("p01 2", "p04 2", "p07 2", "p10 2"),
            *("p00 1", "p03 1"),
        ]


async def test_an_update_names_the_clients_of_now(system, crowd):
    await join(crowd, system, [("billing", "cron", "go", 101, "n1")])
    async with watched(system) as watch:
        await watch.until(lambda: ("USER_002", "billing") in watch.open)
        await join(crowd, system, [("billing", "batch", "go", 150, "n2")])
        await watch.until(lambda: watch.open["USER_002", "billing"].transition == "updated")
        updated = watch.open["USER_002", "billing"]
        clients = updated.evidence["clients"]
        # They may still have been joining, and their rows are read after they were counted.
        assert clients["sampled"] >= updated.value > 101
        assert dict(clients["names"]["top"]) == {"cron": 101, "batch": clients["sampled"] - 101}


async def test_what_resolved_has_the_figures_of_its_end_and_names_no_clients(system, crowd):
    here = await join(crowd, system, [("billing", "cron", "go", 65, "n3")])
    there = await join(crowd, system, [("billing", "cron", "go", 60, "n1")])
    async with watched(system) as watch:
        await watch.until(lambda: {("SERVER_011", "n3"), ("USER_002", "billing")} <= {*watch.open})
        await watch.epochs()
        assert await findings(watch, state="resolved") == {}

        await crowd.leave(here[:20])
        await watch.until(lambda: ("SERVER_011", "n3") not in watch.open)
        await watch.epochs()
        percent, evidence = ended(watch, "SERVER_011")
        # It ends at 75.2 %, and they may still have been leaving.
        assert evidence == {"connections": round(0.75 * percent), "max_connections": 75}
        assert 46 <= evidence["connections"] <= 56
        assert await findings(watch, state="resolved", code="SERVER_011") == {
            ("SERVER_011", "resolved"): evidence
        }
        assert await findings(watch, state="open", code="SERVER_011") == {}
        assert set(await findings(watch, state="all")) >= {
            ("SERVER_011", "resolved"),
            ("USER_002", "open"),
        }

        await crowd.leave(there)
        await watch.until(lambda: ("USER_002", "billing") not in watch.open)
        await watch.epochs()
        connections, evidence = ended(watch, "USER_002")
        assert sum(count for _, count in evidence.pop("by_server")["top"]) == connections <= 90
        assert evidence == {}
        assert set(await findings(watch, state="all", code="USER_002")) == {
            ("USER_002", "resolved")
        }


async def test_a_finding_that_got_worse_names_its_clients_where_it_opened_only(system, crowd):
    await join(crowd, system, [("billing", "cron", "go", 65, "n3")])
    async with watched(system) as watch:
        await watch.until(lambda: ("SERVER_011", "n3") in watch.open)
        await join(crowd, system, [("app", "web", "nodejs", 8, "n3")])
        await watch.until(lambda: watch.severity("SERVER_011", "n3") == "critical")
        *_, before, now = [told for told in watch.advisories if told.code == "SERVER_011"]
        assert (before.transition, before.reason) == ("resolved", "severity_changed")
        assert set(before.evidence) == {"connections", "max_connections"}
        names = now.evidence["clients"]["names"]["top"]
        assert [name for name, _ in names] == ["cron", "web"]


def ended(watch: Watch, code: str) -> tuple[Any, dict[str, Any]]:
    """The value and the evidence with which the finding of a check resolved."""
    (told,) = [t for t in watch.advisories if (t.code, t.transition) == (code, "resolved")]
    return told.value, told.evidence
