"""The webhook: findings in, posts out, received by a real HTTP server."""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kit.programs import EXAMPLES, connected, found, until

NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)
SECRET = "/services/T0/s3cret"


def load():
    """The example as a module."""
    spec = importlib.util.spec_from_file_location("webhook", EXAMPLES / "webhook.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


webhook = load()


class Hook:
    """An HTTP server that answers the next posts with `answers`, then with 200."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                code, headers = hook.answers.pop(0) if hook.answers else (200, {})
                if code:
                    hook.texts += [json.loads(body)["text"]] if code == 200 else []
                    self.send_response(code)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()

            def do_GET(self) -> None:
                hook.texts.append("GET")
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://{}:{}{}".format(*self.server.server_address, SECRET)

    @property
    def lines(self) -> list[str]:
        return "\n".join(self.texts).splitlines()


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    thread = threading.Thread(target=hook.server.serve_forever, args=(0.01,))
    thread.start()
    yield hook
    hook.server.shutdown()
    hook.server.server_close()
    thread.join()


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    """The pauses that were made; none is waited for."""
    made: list[float] = []

    async def sleep(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr(webhook.asyncio, "sleep", sleep)
    return made


HELD = {
    "at once": ([], [], True),
    "after an error of the server": ([(500, {})], [1], True),
    "after the server hung up": ([(0, {})], [1], True),
    "when it was told to wait": ([(429, {"Retry-After": "7"})], [7], True),
    "but not for an hour": ([(429, {"Retry-After": "3600"})], [60], True),
    "nor for what is no time": ([(503, {"Retry-After": "soon"})], [1], True),
    "at the last attempt": ([(503, {})] * 4, [1, 2, 4, 8], True),
    "not after the last attempt": ([(503, {})] * 5, [1, 2, 4, 8], False),
    "not where it is refused": ([(403, {})], [], False),
    "not where it is redirected": ([(302, {"Location": "/"})], [], False),
}


@pytest.mark.parametrize(("answers", "waited", "arrives"), HELD.values(), ids=HELD)
async def test_a_text_is_posted(answers, waited, arrives, hook, pauses, capsys):
    hook.answers = list(answers)
    await webhook.deliver(hook.url, "one\ntwo")
    assert hook.texts == (["one\ntwo"] if arrives else [])
    assert pauses == waited
    log = "" if arrives else f"the webhook did not take 2 lines: HTTP {answers[-1][0]}\n"
    assert capsys.readouterr() == ("", log)


WRONG = {
    "nobody listens": "http://127.0.0.1:1/s3cret",
    "no such host": "http://nobody.invalid/s3cret",
    "a space": "http://127.0.0.1:1/s3cret s3cret",
}


@pytest.mark.parametrize("url", WRONG.values(), ids=WRONG)
async def test_the_log_never_shows_the_url(url, pauses, capsys):
    await webhook.deliver(url, "one")
    out, log = capsys.readouterr()
    assert log.startswith("the webhook did not take 1 lines: ")
    assert "s3cret" not in out + log


async def test_what_slack_would_take_for_an_order_is_escaped(hook):
    await webhook.deliver(hook.url, "user <!channel> & co")
    assert hook.texts == ["user &lt;!channel&gt; &amp; co"]


@pytest.mark.parametrize(
    "url", ["", "hooks/s3cret", "ftp://x/s3cret", "http:///s3cret", "http://["]
)
def test_without_a_url_it_says_what_to_set(url, monkeypatch):
    monkeypatch.setenv("WEBHOOK_URL", url)
    with pytest.raises(SystemExit) as caught:
        webhook.secret_url()
    assert (
        str(caught.value) == "set the variable WEBHOOK_URL to the URL of the webhook: https://..."
    )


def told(transition, severity="warning", number=1, *, id="", valid=30, **more):
    """An advisory about server n<number>, valid for so many minutes."""
    state = "resolved" if transition == "resolved" else "open"
    return {
        "id": id or f"{transition} {severity} {number} {more}",
        "transition": transition,
        "state": state,
        "reason": "",
        "code": "SERVER_011",
        "severity": severity,
        "fingerprint": f"{number:032x}",
        "summary": f"n{number} is {'full' if state == 'open' else 'not full'}",
        "remediation": "Spread the clients.",
        "valid_until": (NOW + timedelta(minutes=valid)).isoformat(),
        **more,
    }


def changed(before, now, **more):
    """The two advisories of a change of severity."""
    reason = {"reason": "severity_changed", **more}
    return (
        told("resolved", before, severity_now=now, **reason),
        told("opened", now, severity_before=before, **reason),
    )


MUTED = {"muted": "2027-01-15T14:00:00Z"}
OPENED = "WARNING SERVER_011 n1 is full - Spread the clients."
STORIES = {
    "what opens and resolves": (
        [told("opened"), told("resolved")],
        [OPENED, "resolved SERVER_011 n1 is not full"],
    ),
    "a copy is nothing new": ([told("opened"), told("opened")], [OPENED]),
    "nor what a restarted agent opens again": ([told("opened"), told("opened", id="2")], [OPENED]),
    "nor an update or a reminder": (
        [told("opened"), told("updated"), told("reminded")],
        [OPENED],
    ),
    "but a reminder of what was never posted is": ([told("reminded")], [OPENED]),
    "it gets worse": (
        [told("opened"), *changed("warning", "critical")],
        [OPENED, OPENED.replace("WARNING", "CRITICAL")],
    ),
    "it gets too good for us": (
        [told("opened"), *changed("warning", "info")],
        [OPENED, "now info SERVER_011 n1 is not full"],
    ),
    "and bad again": (
        [told("opened"), *changed("warning", "info"), *changed("info", "warning")],
        [OPENED, "now info SERVER_011 n1 is not full", OPENED],
    ),
    "it is muted, and resolves": (
        [told("opened"), *(told(one, **MUTED) for one in ("updated", "reminded", "resolved"))],
        [OPENED, "muted until 2027-01-15T14:00:00Z SERVER_011 n1 is full"],
    ),
    "it is muted, and still open then": (
        [told("opened"), told("updated", **MUTED), told("updated", reason="unmuted")],
        [OPENED, "muted until 2027-01-15T14:00:00Z SERVER_011 n1 is full", OPENED],
    ),
    "it gets worse while it is muted": (
        [
            *(told("opened", **MUTED), *changed("warning", "critical", **MUTED)),
            told("updated", "critical", reason="unmuted"),
        ],
        [OPENED.replace("WARNING", "CRITICAL")],
    ),
    "what is muted from the beginning": ([told("opened", **MUTED), told("resolved", **MUTED)], []),
    "what is below our severity": ([told("opened", "info"), told("resolved", "info")], []),
}


@pytest.mark.parametrize(("heard", "lines"), STORIES.values(), ids=STORIES)
def test_what_is_posted(heard, lines):
    story = webhook.Story("warning", NOW)
    for advisory in heard:
        story.hear(advisory)
    assert story.take().splitlines() == lines
    assert story.take() == ""


def test_what_is_no_longer_reported_is_said_once():
    story = webhook.Story("warning", NOW)
    story.silent_at += timedelta(days=1)
    story.hear(told("opened", valid=30))
    story.take()
    story.look(NOW + timedelta(minutes=29))
    story.hear(told("reminded", valid=60))
    story.look(NOW + timedelta(minutes=59))
    assert story.take() == ""
    for _ in range(2):
        story.look(NOW + timedelta(minutes=61))
    assert story.take() == "no longer reported: n1 is full"


def test_a_storm_is_one_post():
    story = webhook.Story("info", NOW)
    for number in range(1, 773):
        story.hear(told("opened", number=number))
    lines = story.take().splitlines()
    assert (len(lines), lines[-1]) == (21, "and 752 more")


def beat(role="leader"):
    return {"agent": {"role": role}, "silent_after_seconds": 100}


def test_silence_is_posted_once_and_so_is_its_end():
    story = webhook.Story("warning", NOW)
    story.alive(beat(), NOW)
    story.look(NOW + timedelta(seconds=99))
    assert story.take() == ""
    for _ in range(2):
        story.look(NOW + timedelta(seconds=101))
    assert story.take() == "CRITICAL no heartbeat of a NATS Insights agent"
    later = NOW + timedelta(seconds=200)
    story.alive(beat("standby"), later)
    assert story.take() == ""
    story.alive(beat(), later)
    assert story.take() == "the NATS Insights agent is back"


@pytest.mark.live
@pytest.mark.long
async def test_findings_are_posted_once_though_the_agent_is_restarted(
    system, run, run_agent, crowd, hook
):
    login = system.user("agent")
    agent = await run_agent(system["n1"], login)
    arguments = (EXAMPLES / "webhook.py", "--severity", "info")
    program = await run(system["n3"], system.user("ops"), *arguments, WEBHOOK_URL=hook.url)
    user, password = system.user("app")
    members = await crowd.join(system["n2"].url, 12, user=user, password=password)

    async def posted(words: str) -> int:
        return sum(line.startswith(words) for line in hook.lines)

    assert await until(lambda: posted("INFO OPT_BALANCE_002 n2 holds 12 connections"))
    assert await until(lambda: posted("INFO OPT_BALANCE_006"))

    agent.kill()
    assert await until(lambda: posted("CRITICAL no heartbeat of a NATS Insights agent"))
    await run_agent(system["n1"], login)
    assert await until(lambda: posted("the NATS Insights agent is back"))
    async with connected(system["n1"], login) as client:
        await found(client, "OPT_BALANCE_002", "OPT_BALANCE_006")
    await crowd.leave(members)
    assert await until(lambda: posted("resolved OPT_BALANCE_002"))
    assert await until(lambda: posted("resolved OPT_BALANCE_006"))
    assert (await posted("INFO OPT_BALANCE_002"), await posted("INFO OPT_BALANCE_006")) == (1, 1)

    program.kill()
    said, _ = await program.communicate()
    assert b"s3cret" not in said
