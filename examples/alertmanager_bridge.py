"""Posts every open finding to Alertmanager, for as long as it is open and not muted.

python alertmanager_bridge.py --context ops http://am-1:9093 http://am-2:9093     every replica

It takes the connection flags and variables of `nats-insights`. It has no state: it requests what is
open from the agent, at the start and at each refresh. It exits when the connection breaks: run it
under something that restarts it. Its alerts stay active for four minutes.
"""

import argparse
import asyncio
import json
import sys
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from urllib.parse import urlsplit

from nats.errors import Error as NatsError

from nats_insights.connection import contexts
from nats_insights.connection.connect import connect
from nats_insights.errors import InsightsError

REFRESH = timedelta(minutes=1)
AHEAD = 4 * REFRESH  # Alertmanager resolves an alert that is not posted again for so long.
KEEP = 5 * REFRESH  # A resolved alert is posted again for so long, for a replica that was down.
PATIENCE = 2 * REFRESH  # Servers that are missing for so long are an alert.
# What of an entity is no label, beside what has one of its own.
NO_LABELS = ("kind", "id", "name", "account_name")
# The agent's fields that become annotations, where they have a value.
TOLD = ("summary", "remediation", "value", "threshold", "unit")


class Findings:
    """The newest state of each finding, and of the agent, which has two alerts of its own.

    NatsInsightsSilent: no agent that leads has sent a heartbeat in time.
    NatsInsightsIncomplete: its heartbeats say that servers do not answer.
    """

    def __init__(self) -> None:
        self.known = {}
        self.news = asyncio.Event()
        self.heard = {}  # The last heartbeat of each agent.
        self.last = datetime.now(UTC)
        self.silent_at = self.last + AHEAD
        self.missing_since = None

    def hear(self, state):
        """Take in an advisory, or a finding from FINDINGS: they have the same fields."""
        key = state["fingerprint"], state["severity"]
        known = self.known.get(key)
        if known is not None and age(known) >= age(state):
            return
        if state.get("muted"):  # The alert ends, and begins again if it is open after that.
            if known is None:
                return
            over = known["resolved_at"] or state["resolved_at"] or datetime.now(UTC).isoformat()
            state = {**state, "resolved_at": over}
        self.known[key] = state
        self.news.set()

    def alive(self, heartbeat):
        """Take in a heartbeat, unless it is an old one that a frozen server delivers late."""
        now = datetime.now(UTC)
        agent = heartbeat["agent"]
        beat = agent["epoch"], datetime.fromisoformat(heartbeat["timestamp"])
        late = agent["instance"] in self.heard and beat <= self.heard[agent["instance"]]
        if late or agent["role"] != "leader":
            return
        self.heard[agent["instance"]] = beat
        if now > self.silent_at:
            self._own(silent(self.last, self.silent_at), now, over=True)
        silence = timedelta(seconds=heartbeat["silent_after_seconds"])
        self.last, self.silent_at = now, now + max(silence, REFRESH)
        self._coverage(heartbeat["coverage"], now)

    def alerts(self, now):
        """The alerts to post: what is open, and what ended lately."""
        if now > self.silent_at:
            self._own(silent(self.last, self.silent_at), now)
        self.known = {key: one for key, one in self.known.items() if end(one) > now - KEEP}
        return [alert(state, now) for state in self.known.values()]

    def _coverage(self, coverage, now):
        absent = coverage["servers_answered"] < coverage["servers_known"]
        since = self.missing_since or now
        self.missing_since = since if absent else None
        if now - since >= PATIENCE:
            self._own(incomplete(coverage, since), now, over=not absent)

    def _own(self, state, now, over=False):
        state["resolved_at"] = now.isoformat() if over else None
        state["valid_until"] = (now + AHEAD).isoformat()
        self.known[state["alertname"]] = state
        if over:
            self.news.set()


def age(state):
    """A finding that opens again begins with revision 1."""
    return datetime.fromisoformat(state["opened_at"]), state["revision"]


def end(state):
    """When it resolved, or else when it expires."""
    return datetime.fromisoformat(state["resolved_at"] or state["valid_until"])


def alert(state, now):
    """Labels are the identity of an alert. What may change is an annotation.

    It begins when the finding opened, and neither begins nor resolves in the future, whatever the
    clock of the agent says.
    """
    ends = min(end(state), now if state["resolved_at"] else now + AHEAD)
    begins = min(datetime.fromisoformat(state["opened_at"]), now, ends)
    values = {field: state.get(field) for field in TOLD}
    values["summary"] = values["summary"] or state["title"]
    return {
        "labels": labels(state),
        "annotations": {name: str(value) for name, value in values.items() if value or value == 0},
        "startsAt": begins.isoformat(),
        "endsAt": ends.isoformat(),
    }


def labels(state):
    """NatsConnectionHotspot, its code and severity, and the names of what the finding is about.

    In operator mode accounts and users have keys. Their names, which may become known later, are in
    the summary: a label that changes would begin another alert.
    """
    if "alertname" in state:
        return {"alertname": state["alertname"], "severity": state["severity"]}
    entity = state["entity"]
    name = "".join(word.capitalize() for word in state["name"].split("_"))
    known = {"alertname": f"Nats{name}", "code": state["code"], "severity": state["severity"]}
    key = entity["kind"].partition("_")[0]  # "account_in_cluster" is about an account, too.
    of = entity.get(key, entity["name"]) if key in ("account", "user") else entity["name"]
    known |= {"finding": state["fingerprint"], "kind": entity["kind"], "entity": of}
    return known | {f"nats_{on}": name for on, name in entity.items() if on not in NO_LABELS}


def silent(last, began):
    """The agent stopped, or cannot publish; or this program does not receive it."""
    return {
        "alertname": "NatsInsightsSilent",
        "severity": "critical",
        "opened_at": began.isoformat(),
        "summary": f"no heartbeat of a NATS Insights agent since {last:%H:%M:%S} UTC",
        "remediation": "Check that the agent runs, its log, and its connection to NATS.",
    }


def incomplete(coverage, began):
    """Servers do not answer, whatever the findings say."""
    answered, known = coverage["servers_answered"], coverage["servers_known"]
    names = f": without {', '.join(coverage['missing'])}" if coverage["missing"] else ""
    return {
        "alertname": "NatsInsightsIncomplete",
        "severity": "warning",
        "opened_at": began.isoformat(),
        "summary": f"{answered} of {known} servers answer the NATS Insights agent{names}",
        "remediation": "Check these servers, and the network between them and the agent's server. "
        "For one that will not come back, run `nats-insights forget NAME`.",
    }


def post(url, alerts):
    """Post to one replica; if it is down, the next refresh posts again."""
    body, headers = json.dumps(alerts).encode(), {"Content-Type": "application/json"}
    try:
        request = urllib.request.Request(f"{url}/api/v2/alerts", body, headers)
        urllib.request.urlopen(request, timeout=10).close()
    except (OSError, HTTPException) as error:
        print(f"{url} did not accept the alerts: {error}", file=sys.stderr)


async def open_now(client):
    """What is open, page after page; nothing while no agent answers."""
    page = {"more": True, "offset": 0, "findings": []}
    while page["more"]:
        body = json.dumps({"offset": page["offset"] + len(page["findings"])}).encode()
        try:
            reply = await client.request("INSIGHTS.API.FINDINGS", body, timeout=5)
        except (NatsError, TimeoutError):
            return
        page = json.loads(reply.data)
        if "findings" not in page:
            print(f"FINDINGS was answered by {reply.data.decode()}", file=sys.stderr)
            return
        for state in page["findings"]:
            yield state


async def main(settings, alertmanagers):
    findings = Findings()

    async def hear(message):
        findings.hear(json.loads(message.data))

    async def alive(message):
        findings.alive(json.loads(message.data))

    async def lost():
        await client.closed.wait()
        findings.news.set()

    client = await connect(settings, name="alertmanager_bridge.py")
    watching = asyncio.create_task(lost())
    await client.subscribe("$INSIGHTS.ADVISORY.>", cb=hear)
    await client.subscribe("$INSIGHTS.HEARTBEAT.*", cb=alive)
    while not client.closed.is_set():
        async for state in open_now(client):
            findings.hear(state)
        findings.news.clear()
        alerts = findings.alerts(datetime.now(UTC))
        await asyncio.gather(*(asyncio.to_thread(post, to, alerts) for to in alertmanagers))
        with suppress(TimeoutError):
            await asyncio.wait_for(findings.news.wait(), REFRESH.total_seconds())
    await watching
    sys.exit(f"the connection to NATS is lost: {client.last_error}")


def http_url(text):
    """An URL to post to: one with a password would be shown in the log."""
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname or url.username:
        raise argparse.ArgumentTypeError("give http://HOST:PORT or https://..., without a login")
    return text.rstrip("/")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Posts every open finding to Alertmanager.")
    parser.add_argument("alertmanager", nargs="+", type=http_url, help="URL, one for each replica")
    contexts.add_options(parser)
    args = parser.parse_args()
    try:
        asyncio.run(main(contexts.from_args(args), args.alertmanager))
    except InsightsError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
