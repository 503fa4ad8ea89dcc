"""The bridge to Alertmanager: findings in, alerts out, seen in a real Alertmanager."""

from __future__ import annotations

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


def state(now=NOW, *, severity="warning", revision=1, resolved=False, opened=0, valid=60, **more):
    """A finding, opened so many minutes ago and valid for so many more."""
    return {
        "code": "SERVER_011",
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


def beat(epoch, silent_after=100, seconds=0, instance="first"):
    """A heartbeat, so many seconds after noon."""
    return {
        "agent": {"instance": instance, "epoch": epoch},
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


def test_an_end_is_told_for_five_minutes():
    ended = state(resolved=True)
    assert told(ended, at=NOW + timedelta(minutes=4.9)) == [("warning", -4.9)]
    assert told(ended, at=NOW + timedelta(minutes=5.1)) == []


def test_silence_of_the_agent_is_told_until_it_is_heard_again():
    findings = bridge.Findings()
    for epoch, (silent_after, silence) in enumerate([(100, 100), (25, 60)]):
        findings.alive(beat(epoch, silent_after))
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
    assert "no heartbeat" in alert["annotations"]["summary"]
    findings.alive(beat(1, seconds=100))
    (over,) = findings.alerts(datetime.now(UTC))
    assert (over["labels"], over["startsAt"]) == (alert["labels"], alert["startsAt"])
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
}


@pytest.mark.parametrize(("next_one", "counts"), NEXT.values(), ids=NEXT)
def test_a_heartbeat_counts_unless_a_server_had_held_it_back(next_one, counts):
    findings = bridge.Findings()
    findings.alive(beat(18, seconds=60))
    findings.silent_at = before = datetime.now(UTC) + timedelta(days=1)
    findings.alive(next_one)
    assert (findings.silent_at != before) is counts


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


def active(url: str) -> list[dict]:
    """The alerts that are on."""
    with urllib.request.urlopen(f"{url}/api/v2/alerts", timeout=10) as reply:
        return json.load(reply)


async def alerts(url: str, *codes: str) -> dict[str, dict]:
    """The alerts that are on, by name, as soon as they are these."""
    named: dict[str, dict] = {}

    async def these_are() -> bool:
        now = await asyncio.to_thread(active, url)
        named.clear()
        named.update((alert["labels"]["alertname"], alert) for alert in now)
        return sorted(alert["labels"]["alertname"] for alert in now) == sorted(codes)

    await until(these_are)
    return named


@needs_alertmanager
async def test_alertmanager_takes_whatever_is_told(alertmanager):
    now = datetime.now(UTC)
    findings = bridge.Findings()
    findings.silent_at = now - timedelta(minutes=1)
    findings.hear(state(now, opened=5))
    bridge.post(alertmanager, findings.alerts(now))
    await alerts(alertmanager, "SERVER_011", "NatsInsightsSilent")

    findings.silent_at = now + timedelta(minutes=1)
    findings.hear(state(now, opened=5, revision=2, resolved=True))
    findings.hear(state(now, opened=5, revision=3, severity="critical"))
    bridge.post(alertmanager, findings.alerts(datetime.now(UTC)))
    (critical,) = [a for a in active(alertmanager) if "finding" in a["labels"]]
    assert critical["labels"] == {
        "alertname": "SERVER_011",
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
    for name, value in environment(system["n3"], system.user("ops")).items():
        monkeypatch.setenv(name, value)
    watching = asyncio.create_task(told_again())
    with pytest.raises(SystemExit, match="the connection to NATS is lost"):
        await bridge.main(alertmanager)
    assert await watching
