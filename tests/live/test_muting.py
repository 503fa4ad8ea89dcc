"""True findings of real servers are muted by a person, who is in another account."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import jsonschema_rs
import pytest

from kit.watching import PATIENCE, Watch, anywhere, watching
from nats_insights.agent import answer
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers import local
from nats_insights.tell.schemas import schemas

pytestmark = pytest.mark.live

SCHEMAS = schemas()
FOUND = ("USER_002", "big")
LOW = "checks.excessive_user_connections.max_connections = 3\n"


@pytest.fixture
def system(shared_cluster: local.System) -> local.System:
    return shared_cluster


@pytest.fixture
async def watch(system: local.System, crowd) -> AsyncIterator[Watch]:
    """An agent, which has found that user big has too many connections."""
    user, password = system.user("big")
    async with watching(system, more=LOW) as watch:
        await crowd.join(system["n3"].url, 5, user=user, password=password)
        await watch.until(lambda: FOUND in watch.open)
        yield watch


async def ask(watch: Watch, name: str, **body: Any) -> dict[str, Any]:
    """The reply, which must be as its schema says, with the error code, if there is one."""
    payload = json.dumps(body).encode()
    message = await watch.client.request(f"INSIGHTS.API.{name}", payload, timeout=PATIENCE)
    reply = json.loads(message.data)
    jsonschema_rs.validate(SCHEMAS[reply["type"]], reply)
    code = (message.headers or {}).get("Nats-Service-Error-Code", "")
    return reply | {"code": code}


def last(watch: Watch, code: str = "USER_002", name: str = "big") -> tuple[str, str, bool]:
    """The last word on a finding: what, why, and whether it is muted."""
    said = next(
        one for one in reversed(watch.advisories) if (one.code, one.entity.name) == (code, name)
    )
    return said.transition, said.reason, said.muted is not None


MUTED, UNMUTED = ("updated", "muted", True), ("updated", "unmuted", False)
WAYS: dict[str, dict[str, str]] = {
    "a code": {"code": "excessive_user_connections"},
    "an account": {"account": "BIG"},
    "a user": {"user": "big"},
    "a code and labels": {"code": "USER_002", "account": "BIG", "user": "big"},
    "a fingerprint": {"fingerprint": ""},
}


@pytest.mark.parametrize("what", WAYS.values(), ids=WAYS)
async def test_a_finding_is_muted_and_unmuted_by(watch, what):
    if "fingerprint" in what:
        what = {"fingerprint": watch.open[FOUND].fingerprint}
    reply = await ask(watch, "MUTE", **what, until="1h", who="ada", why="load test")
    # Whoever asks after the reply sees it, and whoever subscribes has been told.
    (mute,) = reply["mutes"]
    assert (mute["who"], mute["why"], mute["findings"]) == ("ada", "load test", 1)
    (found,) = (await ask(watch, "FINDINGS", user="big", code="USER_002"))["findings"]
    assert found["muted"] == mute["until"]
    status = await ask(watch, "STATUS")
    assert (status["open"]["warning"], status["muted"]["warning"], status["mutes"]) == (0, 1, 1)
    await watch.until(lambda: last(watch) == MUTED)
    await watch.until(lambda: watch.heartbeats[-1].muted.warning == 1)
    beat = watch.heartbeats[-1]
    assert (beat.verdict in ("ok", "info"), beat.open.warning, beat.mutes) == (True, 0, 1)
    assert (await ask(watch, "MUTES"))["mutes"] == reply["mutes"]

    reply = await ask(watch, "UNMUTE", **what)
    assert reply["mutes"] == []
    await watch.until(lambda: last(watch) == UNMUTED)
    status = await ask(watch, "STATUS")
    assert (status["verdict"], status["muted"]["warning"], status["mutes"]) == ("warning", 0, 0)
    happened = (await ask(watch, "HISTORY", user="big", code="USER_002"))["transitions"]
    assert [(one["transition"], one["reason"]) for one in happened] == [
        ("updated", "unmuted"),
        ("updated", "muted"),
        ("opened", "condition_met"),
    ]


async def test_a_mute_ends_by_itself(watch):
    reply = await ask(watch, "MUTE", user="big", until="2s")
    assert len(reply["mutes"]) == 1
    await watch.until(lambda: last(watch) == UNMUTED)
    assert (await ask(watch, "MUTES"))["mutes"] == []


async def test_a_muted_finding_resolves_and_opens_muted(watch, system, crowd):
    await ask(watch, "MUTE", code="USER_002", until="1h")
    await crowd.leave(list(crowd))
    await watch.until(lambda: last(watch) == ("resolved", "entity_gone", True))
    user, password = system.user("big")
    await crowd.join(system["n2"].url, 5, user=user, password=password)
    await watch.until(lambda: last(watch) == ("opened", "condition_met", True))


async def test_what_cannot_be_muted_is_refused_and_changes_nothing(watch):
    before = watch.agent.auditor.number
    for name, body, code in (
        ("MUTE", {"code": "USER_02", "until": "1h"}, "404"),
        ("MUTE", {"until": "1h"}, "400"),
        ("MUTE", {"user": "big"}, "400"),
        ("UNMUTE", {"user": "big"}, "404"),
        ("HISTORY", {"since": "yesterday"}, "400"),
    ):
        reply = await ask(watch, name, **body)
        assert (reply["type"], reply["code"]) == ("insights.api.v1.error_response", code)
    await watch.epochs(1)
    assert watch.agent.auditor.number > before
    assert last(watch) == ("opened", "condition_met", False)


async def test_no_more_requests_wait_for_an_epoch_than_it_can_answer(watch, monkeypatch):
    monkeypatch.setattr(answer, "MOST_WAITING", 0)
    reply = await ask(watch, "MUTE", user="big", until="1h")
    assert (reply["code"], len(watch.agent.auditor.mutes)) == ("429", 0)


async def test_the_log_says_who_muted_what_and_who_ended_it(watch, caplog):
    caplog.set_level("INFO", "nats_insights")
    await ask(watch, "MUTE", user="big", until="2h", who="ada", why="load test")
    await ask(watch, "UNMUTE", user="big")
    said = [line for line in caplog.messages if "mute" in line.partition(" ")[2][:8]]
    assert [line.partition(" until ")[0] for line in said] == [
        "ada muted user big",
        "somebody unmuted user big",
    ]
    assert said[0].endswith(": load test")


async def test_mutes_outlive_the_connection_of_the_agent(start_cluster, crowd):
    system = start_cluster("n1", "n2", "n3")
    user, password = system.user("big")
    await crowd.join(system["n3"].url, 5, user=user, password=password)
    agent, more = anywhere(system, "n1", "n3"), f'{LOW}gather.timeout = "200ms"\n'
    async with watching(system, agent, more=more) as watch:
        await watch.until(lambda: FOUND in watch.open)
        await ask(watch, "MUTE", user="big", until="1h", who="ada")
        await watch.until(lambda: last(watch) == MUTED)
        system["n1"].kill()
        await watch.until(lambda: watch.heartbeats[-1].coverage.missing == ["n1"])
        await watch.epochs(2)
        (mute,) = (await ask(watch, "MUTES"))["mutes"]
        assert (mute["who"], mute["findings"]) == ("ada", 1)
        assert last(watch) == MUTED
        assert watch.heartbeats[-1].muted.warning == 1


async def test_by_hand_a_finding_is_muted_listed_and_unmuted(watch, system, cli_of):
    cli = cli_of(login(system, "ops", "n1"))
    assert await cli("mute") == (0, "nothing is muted\n")
    code, said = await cli(
        *("mute", "--code", "USER_002", "--account", "BIG", "--for", "2h"),
        *("--who", "ada", "--why", "load test"),
    )
    first, heading, row = said.splitlines()
    assert (code, first, heading.split()) == (0, "1 mute", ["until", "findings", "check"])
    assert row.split(maxsplit=1)[1].split() == [
        *("1", "USER_002", "account", "BIG", "(ada:", "load", "test)"),
    ]
    assert await cli("mute") == (0, said)
    _, listed = await cli("findings", "--code", "USER_002")
    until = row.split()[0]
    assert listed.splitlines()[0] == "1 open: 1 warning; 1 muted"
    assert listed.splitlines()[-1].endswith(f"holds 5 connections (muted until {until})")
    code, status = await cli("status")
    assert (code, "; 1 muted" in status, "1 warning, by 1 mute" in status) == (0, True, True)

    fingerprint = watch.open[FOUND].fingerprint
    code, said = await cli("mute", "--finding", fingerprint, "--until", "1h", "--format", "json")
    made, before = json.loads(said)["mutes"]
    assert (made["fingerprint"], made["findings"], before["who"]) == (fingerprint, 1, "ada")
    assert made["who"]  # The local user.
    code, said = await cli("unmute", "--finding", fingerprint)
    assert (code, said.splitlines()[0]) == (0, "1 mute")
    code, said = await cli("unmute", "--code", "USER_002", "--account", "BIG")
    assert (code, said) == (0, "nothing is muted\n")
    await watch.until(lambda: last(watch) == UNMUTED)
    code, status = await cli("status")
    assert (code, "muted" in status) == (1, False)

    code, said = await cli("history", "--finding", fingerprint, "--since", "1h")
    first, _, *rows = said.splitlines()
    assert first.startswith(f"{len(rows)} transitions; known since ")
    assert [row.split()[1] for row in rows] == ["opened", *(len(rows) - 1) * ["updated"]]
    assert rows[-1].endswith("holds 5 connections (unmuted)")
    code, said = await cli("history", "--format", "json", "--user-name", "big", "--limit", "1")
    assert json.loads(said)["transitions"][0]["reason"] == "unmuted"


REFUSED = {
    "no time": (
        ["mute", "--code", "USER_002"],
        "say until when: --for 2h, or --until 2026-11-22T18:00:00Z",
    ),
    "nothing to mute": (
        ["mute", "--for", "2h"],
        "say what to mute, by at least one of --code, --finding, --cluster, --server-name, "
        "--account, --user-name",
    ),
    "nothing to unmute": (
        ["unmute"],
        "say what to unmute, by at least one of --code, --finding, --cluster, --server-name, "
        "--account, --user-name",
    ),
    "an unknown check": (
        ["mute", "--code", "USER_02", "--for", "2h"],
        "there is no check USER_02; did you mean USER_002?",
    ),
    "no mute": (["unmute", "--account", "NOBODY"], "nothing is muted"),
    "a time long ago": (
        ["mute", "--account", "BIG", "--until", "2020-01-01T00:00:00Z"],
        "until is in the past",
    ),
    "a history from no time": (
        ["history", "--since", "yesterday"],
        "since is a time such as 2026-11-22T14:00:00Z, or a duration such as 2h, not 'yesterday'",
    ),
}


async def test_by_hand_what_is_wrong_gets_one_sentence(watch, system, cli_of):
    cli = cli_of(login(system, "ops", "n1"))
    said = {what: await cli(*given) for what, (given, _) in REFUSED.items()}
    assert said == {what: (3, f"nats-insights: {why}\n") for what, (_, why) in REFUSED.items()}
