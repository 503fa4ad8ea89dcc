"""Posts every open finding to Alertmanager, for as long as it is open.

python alertmanager_bridge.py http://am-1:9093 http://am-2:9093     every replica

It has no state: it requests what is open from the agent, at the start and at each refresh. It exits
on errors: run it under something that restarts it. Its alerts stay active for four minutes.
"""

import asyncio
import json
import os
import sys
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import nats
from nats.errors import NoRespondersError

REFRESH = timedelta(minutes=1)
AHEAD = 4 * REFRESH  # Alertmanager resolves an alert that is not posted again for so long.
KEEP = 5 * REFRESH  # A resolved alert is posted again for so long, for a replica that was down.


class Findings:
    """The newest state of each finding, and when the agent counts as stopped."""

    def __init__(self) -> None:
        self.known = {}
        self.heard = {}  # The last heartbeat of each agent.
        self.silent_at = datetime.now(UTC) + AHEAD
        self.silence = None  # When the last one began and ended.

    def hear(self, state):
        """Take in an advisory, or a finding from FINDINGS: they have the same fields."""
        key = state["fingerprint"], state["severity"]
        if key not in self.known or age(self.known[key]) < age(state):
            self.known[key] = state

    def alive(self, heartbeat):
        """Take in a heartbeat, unless it is an old one that a frozen server delivers late."""
        now = datetime.now(UTC)
        agent = heartbeat["agent"]
        beat = agent["epoch"], datetime.fromisoformat(heartbeat["timestamp"])
        if agent["instance"] in self.heard and beat <= self.heard[agent["instance"]]:
            return
        self.heard[agent["instance"]] = beat
        if now > self.silent_at:
            self.silence = self.silent_at, now
        silence = timedelta(seconds=heartbeat["silent_after_seconds"])
        self.silent_at = now + max(silence, REFRESH)

    def alerts(self, now):
        """The alerts to post: open findings, those resolved lately, and a missing heartbeat."""
        self.known = {key: one for key, one in self.known.items() if end(one) > now - KEEP}
        alerts = [alert(state, now) for state in self.known.values()]
        if now > self.silent_at:
            alerts.append(silent(self.silent_at, now + AHEAD))
        elif self.silence and self.silence[1] > now - KEEP:
            alerts.append(silent(*self.silence))
        return alerts


def age(state):
    """A finding that opens again begins with revision 1."""
    return datetime.fromisoformat(state["opened_at"]), state["revision"]


def end(state):
    """When it resolved, or else when it expires."""
    return datetime.fromisoformat(state["resolved_at"] or state["valid_until"])


def alert(state, now):
    """Labels are the identity of an alert. What may change is an annotation."""
    entity = state["entity"]
    labels = {"alertname": state["code"], "severity": state["severity"]}
    labels |= {"finding": state["fingerprint"], "kind": entity["kind"], "entity": entity["name"]}
    labels |= {f"nats_{on}": entity.get(on, "") for on in ("cluster", "server", "account", "user")}
    told = ("summary", "remediation", "value", "threshold", "unit")
    return {
        "labels": labels,
        "annotations": {field: str(state[field]) for field in told},
        "startsAt": state["opened_at"],
        "endsAt": min(end(state), now + AHEAD).isoformat(),
    }


def silent(began, ends):
    """The alert for a missing heartbeat: the agent stopped, or cannot publish."""
    summary = f"no heartbeat of a NATS Insights agent in time, at {began:%H:%M:%S} UTC"
    return {
        "labels": {"alertname": "NatsInsightsSilent", "severity": "critical"},
        "annotations": {"summary": summary, "remediation": "Look for the agent and its server."},
        "startsAt": began.isoformat(),
        "endsAt": ends.isoformat(),
    }


def post(url, alerts):
    """Post to one replica; if it is down, the next refresh posts again."""
    body, headers = json.dumps(alerts).encode(), {"Content-Type": "application/json"}
    try:
        request = urllib.request.Request(f"{url}/api/v2/alerts", body, headers)
        urllib.request.urlopen(request, timeout=10).close()
    except OSError as error:
        print(f"{url} did not accept the alerts: {error}", file=sys.stderr)


async def open_now(client):
    """What is open, page after page; nothing while no agent answers."""
    page = {"more": True, "offset": 0, "findings": []}
    while page["more"]:
        body = json.dumps({"offset": page["offset"] + len(page["findings"])}).encode()
        try:
            reply = await client.request("INSIGHTS.API.FINDINGS", body, timeout=5)
        except (NoRespondersError, TimeoutError):
            return
        page = json.loads(reply.data)
        if "findings" not in page:
            print(f"FINDINGS was answered by {reply.data.decode()}", file=sys.stderr)
            return
        for state in page["findings"]:
            yield state


async def main(*alertmanagers):
    findings, news = Findings(), asyncio.Event()

    async def hear(message):
        findings.hear(json.loads(message.data))
        news.set()

    async def alive(message):
        findings.alive(json.loads(message.data))

    url, user, password = (os.environ.get(f"NATS_{name}") for name in ("URL", "USER", "PASSWORD"))
    url = url or "nats://127.0.0.1:4222"
    client = await nats.connect(url, user=user, password=password, allow_reconnect=False)
    await client.subscribe("$INSIGHTS.ADVISORY.>", cb=hear)
    await client.subscribe("$INSIGHTS.HEARTBEAT.*", cb=alive)
    while client.is_connected:
        news.clear()
        async for state in open_now(client):
            findings.hear(state)
        alerts = findings.alerts(datetime.now(UTC))
        await asyncio.gather(*(asyncio.to_thread(post, to, alerts) for to in alertmanagers))
        with suppress(TimeoutError):
            await asyncio.wait_for(news.wait(), REFRESH.total_seconds())
    sys.exit("the connection to NATS is lost")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
