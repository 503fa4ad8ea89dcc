"""Posts what opens and what resolves to a webhook that takes {"text": ...}, such as Slack's.

WEBHOOK_URL='https://hooks.slack.com/services/...' python webhook.py --context ops

It takes the connection flags and variables of `nats-insights`. The URL is a secret: it is read from
the environment, and neither printed nor part of the command line. Each finding is posted when it
opens, when its severity changes and when it resolves, and not again when an agent that was
restarted publishes it once more. What is open when this program starts is posted at its next
reminder. That a finding is muted is posted, then nothing of it until it is open and not muted.
"""

import argparse
import asyncio
import json
import os
import sys
import urllib.error
import urllib.request
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from urllib.parse import urlsplit

from nats_insights.connection import contexts
from nats_insights.connection.connect import clients
from nats_insights.errors import InsightsError

RANK = {"info": 0, "warning": 1, "critical": 2}
LINES = 20  # in one post; of more, the number is posted
PAUSES = (1, 2, 4, 8)  # seconds between the attempts to post
LONGEST_PAUSE = 60  # seconds, where the webhook asks for a pause
AT_FIRST = timedelta(minutes=4)  # without a heartbeat


class Story:
    """What was posted as open, until when it is valid, and the lines that are to be posted."""

    def __init__(self, least, now):
        self.least = RANK[least]
        self.open = {}  # By fingerprint: severity, summary and valid_until.
        self.ids = deque(maxlen=1000)
        self.lines = []
        self.silent_at, self.silent = now + AT_FIRST, False

    def hear(self, told):
        """Take in an advisory, which may come twice."""
        if told["id"] in self.ids:
            return
        self.ids.append(told["id"])
        if told.get("muted"):
            if told["fingerprint"] in self.open:
                self._close(told, f"muted until {told['muted']}")
        elif told["reason"] == "severity_changed" and told["state"] == "resolved":
            # What follows is its `opened` with the new severity, which may be too low for us.
            if RANK[told["severity_now"]] < self.least <= RANK[told["severity"]]:
                self._close(told, f"now {told['severity_now']}")
        elif RANK[told["severity"]] < self.least:
            return
        elif told["state"] == "resolved":
            self._close(told, "resolved")
        else:
            severity, valid_until = told["severity"], datetime.fromisoformat(told["valid_until"])
            before, *_ = self.open.get(told["fingerprint"], ("",))
            self.open[told["fingerprint"]] = severity, told["summary"], valid_until
            if before != severity:
                self._say(severity.upper(), told, told["remediation"])

    def alive(self, heartbeat, now):
        """Take in a heartbeat: only an agent that leads evaluates the system."""
        if heartbeat["agent"]["role"] == "leader":
            self.silent_at = now + timedelta(seconds=heartbeat["silent_after_seconds"])
            if self.silent:
                self.lines.append("the NATS Insights agent is back")
            self.silent = False

    def look(self, now):
        """Notice what did not come: a heartbeat, reminders of what is open."""
        if now > self.silent_at and not self.silent:
            self.silent = True
            self.lines.append("CRITICAL no heartbeat of a NATS Insights agent")
        for fingerprint, (_, summary, valid_until) in list(self.open.items()):
            if now > valid_until:
                del self.open[fingerprint]
                self.lines.append(f"no longer reported: {summary}")

    def take(self):
        """The text of the next post, "" for none."""
        lines, self.lines = self.lines, []
        if len(lines) > LINES:
            lines[LINES:] = [f"and {len(lines) - LINES} more"]
        return "\n".join(lines)

    def _close(self, told, word):
        self.open.pop(told["fingerprint"], None)
        self._say(word, told)

    def _say(self, word, told, remedy=""):
        self.lines.append(f"{word} {told['code']} {told['summary']}{remedy and f' - {remedy}'}")


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would become a GET, and its text would be lost."""

    def redirect_request(self, *_):
        return None


def post(url, text):
    """One attempt: the reason why it failed, without the URL, and the pause that was asked for.

    The pause is in seconds, and None where another attempt is of no use.
    """
    # Names in the text come from outside, and Slack reads <!channel> as an order.
    for plain, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(plain, escaped)
    body, headers = json.dumps({"text": text}).encode(), {"Content-Type": "application/json"}
    try:
        request = urllib.request.Request(url, body, headers)
        urllib.request.build_opener(NoRedirect).open(request, timeout=10).close()
    except urllib.error.HTTPError as error:
        error.close()
        pause = error.headers.get("Retry-After", "")[:4]
        pause = min(int(pause), LONGEST_PAUSE) if pause.isdecimal() else 0
        return f"HTTP {error.code}", pause if error.code == 429 or error.code >= 500 else None
    except OSError as error:
        return str(getattr(error, "reason", error)), 0
    except HTTPException as error:  # Its text may hold the URL.
        return type(error).__name__, 0
    return "", 0


async def deliver(url, text):
    """Post it, with a few retries; what cannot be posted is dropped, and the log says so."""
    for pause in (*PAUSES, None):
        why, asked_for = await asyncio.to_thread(post, url, text)
        if not why:
            return
        if pause is None or asked_for is None:
            break
        await asyncio.sleep(max(pause, asked_for))
    count = text.count("\n") + 1
    print(f"the webhook did not take {count} lines: {why}", file=sys.stderr, flush=True)


async def main(settings, url, least):
    story, news = Story(least, datetime.now(UTC)), asyncio.Event()

    async def hear(message):
        story.hear(json.loads(message.data))
        news.set()

    async def alive(message):
        story.alive(json.loads(message.data), datetime.now(UTC))

    async def listen():
        async for client in clients(settings, name="webhook.py"):
            await client.subscribe("$INSIGHTS.ADVISORY.>", cb=hear)
            await client.subscribe("$INSIGHTS.HEARTBEAT.*", cb=alive)
            await client.closed.wait()

    async def tell():
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), 5)
            await asyncio.sleep(1)  # Slack takes one post a second; what comes meanwhile joins it.
            news.clear()
            story.look(datetime.now(UTC))
            if text := story.take():
                await deliver(url, text)

    # Neither ends but by an error.
    tasks = [asyncio.create_task(listen()), asyncio.create_task(tell())]
    done, _ = await asyncio.wait(tasks, return_when="FIRST_COMPLETED")
    done.pop().result()


def secret_url():
    """The webhook's URL; exits, without showing it, if it is none."""
    url = os.environ.get("WEBHOOK_URL", "")
    with suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and url.isprintable():
            return url
    sys.exit("set the variable WEBHOOK_URL to the URL of the webhook: https://...")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Posts what opens and resolves to a webhook.")
    parser.add_argument("--severity", choices=RANK, default="warning", help="this one and worse")
    contexts.add_options(parser)
    args = parser.parse_args()
    try:
        asyncio.run(main(contexts.from_args(args), secret_url(), args.severity))
    except InsightsError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
