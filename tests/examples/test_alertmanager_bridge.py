"""The bridge to Alertmanager: findings in, alerts out, seen in a real Alertmanager."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import re
import shutil
import socket
import subprocess
import urllib.request
from datetime import UTC, datetime, timedelta

import pytest

from kit.programs import EXAMPLES, connected, environment, found, until
from nats_insights.connection import contexts

BINARY = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)
needs_alertmanager = pytest.mark.skipif(
    BINARY is None,
    reason="no Alertmanager on this machine: apt-get install prometheus-alertmanager",
)


def load():
    """The bridge as a module."""
    spec = importlib.util.spec_from_file_location("bridge", EXAMPLES / "alertmanager_bridge.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bridge = load()


def state(
    now=NOW,
    *,
    code="SERVER_011",
    severity="warning",
    revision=1,
    resolved=False,
    opened=0,
    valid=60,
    **more,
):
    """A finding, opened so many minutes ago and valid for so many more."""
    return {
        "code": code,
        "name": "connection_count_high",
        "title": "A server has nearly as many connections as it accepts",
        "severity": severity,
        "fingerprint": "0123456789abcdef0123456789abcdef",
        "entity": {"kind": "server", "id": "N1", "name": "n1", "cluster": "C1", "server": "n1"},
        "summary": "n1 has 80 of 100 connections (80 %)",
        "remediation": "Spread the clients.",
        "value": 80.0,
        "threshold": 80.0,
        "unit": "%",
        "opened_at": (now - timedelta(minutes=opened)).isoformat(),
        "resolved_at": now.isoformat() if resolved else None,
        "valid_until": (now + timedelta(minutes=valid)).isoformat(),
        "revision": revision,
        **more,
    }


KEYS = {"account": "AKEY", "user": "UKEY"}
ENTITIES = {
    "user": ({**KEYS, "id": "UKEY"}, "UKEY"),
    "account": ({"account": "AKEY", "id": "AKEY"}, "AKEY"),
    "account_in_cluster": ({"account": "AKEY", "id": "AKEY", "cluster": "C1"}, "AKEY"),
}


@pytest.mark.parametrize("kind", ENTITIES)
def test_an_alert_stays_the_same_when_the_name_of_a_jwt_becomes_known(kind):
    entity, key = ENTITIES[kind]
    unknown = state(NOW, entity={**entity, "kind": kind, "name": key})
    known = state(NOW, entity={**entity, "kind": kind, "name": "web", "account_name": "APP"})
    assert bridge.labels(known) == bridge.labels(unknown)
    assert bridge.labels(known)["entity"] == key
    assert bridge.labels(known)["nats_account"] == "AKEY"


def beat(epoch, silent_after=100, seconds=0, instance="first", role="leader", missing=()):
    """A heartbeat, so many seconds after noon."""
    return {
        "agent": {"instance": instance, "epoch": epoch, "role": role},
        "coverage": {
            "servers_known": 3,
            "servers_answered": 3 - len(missing),
            "missing": list(missing),
        },
        "timestamp": (NOW + timedelta(seconds=seconds)).isoformat(),
        "silent_after_seconds": silent_after,
    }


def told(*states, at=NOW):
    """What Alertmanager is told after these were heard, as severity and minutes to its end."""
    findings = bridge.Findings()
    findings.silent_at = at + timedelta(days=1)
    for one in states:
        findings.hear(one)
    return [
        (
            alert["labels"]["severity"],
            (datetime.fromisoformat(alert["endsAt"]) - at) / timedelta(minutes=1),
        )
        for alert in findings.alerts(at)
    ]


TOLD = {
    "an open finding ends four minutes ahead": ([state()], [("warning", 4)]),
    "and no later than it may be believed": ([state(valid=2)], [("warning", 2)]),
    "a resolved one has ended": (
        [state(), state(revision=2, resolved=True)],
        [("warning", 0)],
    ),
    "what comes late changes nothing": (
        [state(revision=2, resolved=True), state()],
        [("warning", 0)],
    ),
    "a finding that opened anew is open, though it counts from one again": (
        [state(opened=9, revision=8, resolved=True), state(revision=1)],
        [("warning", 4)],
    ),
    "what got worse is another alert, and the first one has ended": (
        [state(), state(revision=2, resolved=True), state(revision=3, severity="critical")],
        [("warning", 0), ("critical", 4)],
    ),
}


@pytest.mark.parametrize(("heard", "expected"), TOLD.values(), ids=TOLD)
def test_what_is_told_of_a_finding(heard, expected):
    assert told(*heard) == expected


MUTED = {"muted": (NOW + timedelta(days=400)).isoformat()}


def test_the_alert_of_a_finding_ends_when_it_is_muted_and_begins_again():
    findings, now = bridge.Findings(), datetime.now(UTC)
    findings.silent_at = now + timedelta(days=1)
    findings.hear(state(now))
    findings.hear(state(now, revision=2, **MUTED))
    (alert,) = findings.alerts(datetime.now(UTC))
    assert now <= datetime.fromisoformat(alert["endsAt"]) <= datetime.now(UTC)
    # Nothing that is told of it while it is muted changes that.
    for revision in (2, 3):
        findings.hear(state(now, revision=revision, **MUTED))
        findings.hear(state(now, revision=revision, resolved=revision == 3, **MUTED))
    (again,) = findings.alerts(datetime.now(UTC))
    assert again["endsAt"] == alert["endsAt"]
    findings.hear(state(now, revision=4))
    (active,) = findings.alerts(now)
    assert datetime.fromisoformat(active["endsAt"]) == now + bridge.AHEAD
    assert active["startsAt"] == alert["startsAt"]


def test_nobody_is_told_of_what_is_muted_from_the_beginning():
    assert told(state(**MUTED), state(revision=2, resolved=True, **MUTED)) == []
    assert told(state(**MUTED), state(revision=2)) == [("warning", 4)]


def test_a_finding_that_resolved_before_it_was_muted_stays_over():
    resolved = state(revision=2, resolved=True)
    opened_muted = state(opened=-1, revision=1, **MUTED)
    assert told(state(), resolved, opened_muted) == [("warning", 0)]


def test_an_end_is_told_for_five_minutes():
    ended = state(resolved=True)
    assert told(ended, at=NOW + timedelta(minutes=4.9)) == [("warning", -4.9)]
    assert told(ended, at=NOW + timedelta(minutes=5.1)) == []


@pytest.mark.parametrize(("silent_after", "silence"), [(100, 100), (25, 60)])
def test_silence_of_the_agent_is_told_after_the_time_that_it_gave(silent_after, silence):
    findings = bridge.Findings()
    findings.alive(beat(1, silent_after))
    now = datetime.now(UTC)
    assert findings.alerts(now + timedelta(seconds=silence - 5)) == []
    (alert,) = findings.alerts(now + timedelta(seconds=silence + 5))
    assert alert["labels"] == {"alertname": "NatsInsightsSilent", "severity": "critical"}


def test_the_alert_of_a_silence_says_since_when_and_ends_when_the_agent_is_back():
    findings, now = bridge.Findings(), datetime.now(UTC)
    findings.silent_at = began = now - timedelta(minutes=2)
    (alert,) = findings.alerts(now)
    assert alert["startsAt"] == began.isoformat()
    assert datetime.fromisoformat(alert["endsAt"]) > now
    last = findings.last
    assert alert["annotations"]["summary"] == (
        f"no heartbeat of a NATS Insights agent since {last:%H:%M:%S} UTC"
    )
    findings.alive(beat(1, seconds=50, role="standby"))
    assert [one["startsAt"] for one in findings.alerts(now)] == [began.isoformat()]
    assert not findings.news.is_set()
    findings.alive(beat(1, seconds=100))
    assert findings.news.is_set()
    (over,) = findings.alerts(datetime.now(UTC))
    assert (over["labels"], over["startsAt"]) == (alert["labels"], alert["startsAt"])
    assert over["annotations"] == alert["annotations"]
    assert now <= datetime.fromisoformat(over["endsAt"]) <= datetime.now(UTC)
    findings.silent_at += timedelta(hours=1)
    assert findings.alerts(now + timedelta(minutes=6)) == []


NEXT = {
    "of an earlier epoch": (beat(8, seconds=30), False),
    "of the same epoch": (beat(18, seconds=59), False),
    "that comes twice": (beat(18, seconds=60), False),
    "of the same epoch, but later": (beat(18, seconds=61), True),
    "of a later epoch, though the clock was set back": (beat(19, seconds=5), True),
    "of another agent": (beat(1, instance="other"), True),
    "of an agent that stands by": (beat(1, instance="other", role="standby"), False),
    "of an agent that says goodbye": (beat(20, role="stopped"), False),
}


@pytest.mark.parametrize(("next_one", "counts"), NEXT.values(), ids=NEXT)
def test_a_heartbeat_counts_unless_a_server_had_held_it_back(next_one, counts):
    findings = bridge.Findings()
    findings.alive(beat(18, seconds=60))
    findings.silent_at = before = datetime.now(UTC) + timedelta(days=1)
    findings.alive(next_one)
    assert (findings.silent_at != before) is counts


def test_servers_that_do_not_answer_are_an_alert_until_they_do():
    findings = bridge.Findings()
    findings.alive(beat(1))
    findings.alive(beat(2, missing=["n3"]))
    assert findings.alerts(datetime.now(UTC)) == []
    findings.missing_since = began = datetime.now(UTC) - bridge.PATIENCE
    findings.alive(beat(3, missing=["n3"]))
    (alert,) = findings.alerts(datetime.now(UTC))
    assert alert["labels"] == {"alertname": "NatsInsightsIncomplete", "severity": "warning"}
    assert alert["startsAt"] == began.isoformat()
    assert alert["annotations"]["summary"] == (
        "2 of 3 servers answer the NATS Insights agent: without n3"
    )
    assert datetime.fromisoformat(alert["endsAt"]) > datetime.now(UTC)
    findings.alive(beat(4))
    (over,) = findings.alerts(datetime.now(UTC))
    assert (over["labels"], over["startsAt"]) == (alert["labels"], alert["startsAt"])
    assert datetime.fromisoformat(over["endsAt"]) <= datetime.now(UTC)
    assert over["annotations"]["summary"] == "3 of 3 servers answer the NATS Insights agent"
    findings.alive(beat(5))
    assert findings.alerts(datetime.now(UTC)) == [over]


CLOCKS = {
    "an agent whose clock is ahead": state(NOW + timedelta(minutes=3)),
    "one that resolved what it opened": state(
        NOW + timedelta(minutes=3), opened=2, revision=2, resolved=True
    ),
    "a finding that is no longer valid": state(NOW, opened=3, valid=-1),
    "a finding that was valid for no time": state(NOW, opened=0, valid=-1),
}


@pytest.mark.parametrize("heard", CLOCKS.values(), ids=CLOCKS)
def test_no_alert_begins_or_resolves_in_the_future(heard):
    findings = bridge.Findings()
    findings.silent_at = NOW + timedelta(days=1)
    findings.hear(heard)
    (alert,) = findings.alerts(NOW)
    begins, ends = (datetime.fromisoformat(alert[at]) for at in ("startsAt", "endsAt"))
    assert begins <= NOW
    assert begins <= ends
    assert ends <= (NOW if heard["resolved_at"] else NOW + bridge.AHEAD)


def test_an_alert_has_only_annotations_with_a_value_and_always_a_summary():
    bare = state(value=0, threshold=None, unit="", remediation="", summary="")
    assert bridge.alert(bare, NOW)["annotations"] == {
        "summary": "A server has nearly as many connections as it accepts",
        "value": "0",
    }


@pytest.mark.parametrize(
    "url", ["am:9093", "ftp://am", "http://", "http://me:s3cret@am:9093", "http://[am"]
)
def test_it_posts_to_http_urls_without_a_login(url, capsys):
    with pytest.raises((argparse.ArgumentTypeError, ValueError)) as caught:
        bridge.http_url(url)
    assert "s3cret" not in str(caught.value)


@pytest.fixture
async def alertmanager(tmp_path):
    """The URL of a real Alertmanager with the example's configuration."""
    process = await asyncio.create_subprocess_exec(
        BINARY,
        f"--config.file={EXAMPLES / 'alertmanager.yml'}",
        f"--storage.path={tmp_path / 'alertmanager'}",
        "--web.listen-address=127.0.0.1:0",
        "--cluster.listen-address=",
        stderr=subprocess.PIPE,
    )
    try:
        said = ""
        while not (listening := re.search(r"Listening on.*address=(\S+:\d+)", said)):
            said = (await process.stderr.readline()).decode()
            assert said, "Alertmanager ended without listening"
        yield f"http://{listening[1]}"
    finally:
        process.kill()
        await process.communicate()


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def active(url: str) -> list[dict]:
    """The alerts that are on."""
    with urllib.request.urlopen(f"{url}/api/v2/alerts", timeout=10) as reply:
        return json.load(reply)


def called(labels: dict[str, str]) -> str:
    return labels.get("code", labels["alertname"])


async def alerts(url: str, *codes: str) -> dict[str, dict]:
    """The alerts that are on, by code or else by name, as soon as they are these."""
    named: dict[str, dict] = {}

    async def these_are() -> bool:
        now = [(called(alert["labels"]), alert) for alert in await asyncio.to_thread(active, url)]
        named.clear()
        named.update(now)
        return sorted(name for name, _ in now) == sorted(codes)

    await until(these_are)
    return named


@needs_alertmanager
async def test_alertmanager_takes_whatever_is_told(alertmanager):
    now = datetime.now(UTC)
    findings = bridge.Findings()
    findings.silent_at = now - timedelta(minutes=1)
    findings.hear(state(now, opened=5))
    bridge.post(alertmanager, findings.alerts(now))
    on = await alerts(alertmanager, "SERVER_011", "NatsInsightsSilent")
    assert all(moment(alert["startsAt"]) <= now for alert in on.values())
    assert all(alert["annotations"]["summary"] for alert in on.values())

    findings.alive(beat(1))
    bridge.post(alertmanager, findings.alerts(datetime.now(UTC)))
    await alerts(alertmanager, "SERVER_011")
    findings.hear(state(now, opened=5, revision=2, resolved=True))
    findings.hear(state(now, opened=5, revision=3, severity="critical"))
    bridge.post(alertmanager, findings.alerts(datetime.now(UTC)))
    (critical,) = [a for a in active(alertmanager) if "finding" in a["labels"]]
    assert critical["labels"] == {
        "alertname": "NatsConnectionCountHigh",
        "code": "SERVER_011",
        "severity": "critical",
        "finding": "0123456789abcdef0123456789abcdef",
        "kind": "server",
        "entity": "n1",
        "nats_cluster": "C1",
        "nats_server": "n1",
    }
    assert critical["annotations"] == {
        "summary": "n1 has 80 of 100 connections (80 %)",
        "remediation": "Spread the clients.",
        "value": "80.0",
        "threshold": "80.0",
        "unit": "%",
    }


@needs_alertmanager
@pytest.mark.live
async def test_findings_of_a_cluster_come_and_go(system, run, run_agent, crowd, alertmanager):
    agent = system.user("agent")
    await run_agent(system["n1"], agent)
    user, password = system.user("app")
    members = await crowd.join(system["n2"].url, 12, user=user, password=password)
    async with connected(system["n1"], agent) as client:
        await found(client, "OPT_BALANCE_002", "OPT_BALANCE_006")

    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = "http://{}:{}".format(*nobody.getsockname())
        script = EXAMPLES / "alertmanager_bridge.py"
        await run(system["n3"], system.user("ops"), script, away, alertmanager)
        on = await alerts(alertmanager, "OPT_BALANCE_002", "OPT_BALANCE_006")
        assert on["OPT_BALANCE_002"]["labels"]["entity"] == "n2"
        assert on["OPT_BALANCE_006"]["labels"]["nats_account"] == "APP"

        await crowd.leave(members)
        await alerts(alertmanager)
        await crowd.join(system["n3"].url, 12, user=user, password=password)
        on = await alerts(alertmanager, "OPT_BALANCE_002", "OPT_BALANCE_006")
        assert on["OPT_BALANCE_002"]["labels"]["entity"] == "n3"


@needs_alertmanager
@pytest.mark.live
async def test_an_alert_ends_while_its_finding_is_muted(
    system, run, run_agent, crowd, alertmanager
):
    agent = system.user("agent")
    await run_agent(system["n1"], agent)
    user, password = system.user("app")
    await crowd.join(system["n2"].url, 12, user=user, password=password)
    script = EXAMPLES / "alertmanager_bridge.py"
    await run(system["n3"], system.user("ops"), script, alertmanager)
    await alerts(alertmanager, "OPT_BALANCE_002", "OPT_BALANCE_006")
    async with connected(system["n1"], system.user("ops")) as client:
        body = {"code": "OPT_BALANCE_002"}
        mute = json.dumps({**body, "until": "1h"}).encode()
        await client.request("INSIGHTS.API.MUTE", mute, timeout=10)
        await alerts(alertmanager, "OPT_BALANCE_006")
        await client.request("INSIGHTS.API.UNMUTE", json.dumps(body).encode(), timeout=10)
        await alerts(alertmanager, "OPT_BALANCE_002", "OPT_BALANCE_006")


@needs_alertmanager
@pytest.mark.live
async def test_an_open_finding_is_told_again_until_the_connection_is_lost(
    system, run_agent, crowd, alertmanager, monkeypatch
):
    agent = system.user("agent")
    await run_agent(system["n1"], agent)
    user, password = system.user("app")
    await crowd.join(system["n2"].url, 12, user=user, password=password)

    async def told_again() -> str:
        on = await alerts(alertmanager, "OPT_BALANCE_002", "OPT_BALANCE_006")
        first = last = on["OPT_BALANCE_002"]["endsAt"]
        while last == first:
            on = await alerts(alertmanager, "OPT_BALANCE_002", "OPT_BALANCE_006")
            last = on["OPT_BALANCE_002"]["endsAt"]
        system["n3"].kill()
        return last

    monkeypatch.setattr(bridge, "REFRESH", timedelta(milliseconds=100))
    settings = contexts.settings({}, environment(system["n3"], system.user("ops")))
    watching = asyncio.create_task(told_again())
    with pytest.raises(SystemExit, match="the connection to NATS is lost"):
        await bridge.main(settings, [alertmanager])
    assert await watching


@needs_alertmanager
@pytest.mark.skipif(shutil.which("amtool") is None, reason="no amtool on this machine")
async def test_a_silence_as_the_page_has_it_is_for_one_account(alertmanager, tmp_path):
    page = (EXAMPLES.parent / "docs" / "alerting.md").read_text()
    (block,) = re.findall(r"```sh\n(amtool .*?)```", page, re.S)
    block = block.replace("http://am-1:9093", alertmanager)
    silence = await asyncio.create_subprocess_exec(
        *("bash", "-c", block), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    said, _ = await silence.communicate()
    assert silence.returncode == 0, said
    now, findings = datetime.now(UTC), bridge.Findings()
    for number, account in enumerate(("BILLING", "ORDERS")):
        entity = {"kind": "user", "id": "app", "name": "app", "account": account}
        findings.hear(state(now, code="USER_002", entity=entity, fingerprint=str(number)))
    bridge.post(alertmanager, findings.alerts(now))

    async def states() -> dict[str, str]:
        now = await asyncio.to_thread(active, alertmanager)
        found = {alert["labels"]["nats_account"]: alert["status"]["state"] for alert in now}
        return found if set(found.values()) == {"suppressed", "active"} else {}

    assert await until(states) == {"BILLING": "suppressed", "ORDERS": "active"}
