"""The page on history: its streams hold what it says, and are read as it shows."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, StreamConfig, StreamSource
from nats.js.errors import BadRequestError

from kit.programs import connected, environment, until
from nats_insights.errors import InsightsError
from nats_insights.lab.servers import local

PAGE = (Path(__file__).parents[2] / "docs" / "history.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.S)
CLI = os.environ.get("NATS_CLI") or shutil.which("nats")
needs_cli = pytest.mark.skipif(
    CLI is None, reason="no nats CLI: set NATS_CLI or put it on the PATH"
)
needs_jq = pytest.mark.skipif(shutil.which("jq") is None, reason="no jq on this machine")
# Ten connections are a warning, fifty are critical, and nothing is valid for long.
CONFIG = """
interval = "500ms"
[lifecycle]
remind_every = "1s"
[checks.connection_count_high]
warning_percent = 10
critical_percent = 50
"""
MINE = "$INSIGHTS.ADVISORY.*.*.*.*.SERVER_011.*"


def commands() -> Iterator[tuple[list[str], str]]:
    """Each `nats` command of the page as its words, and the filter of jq behind it."""
    for block in BLOCKS:
        lines = re.sub(r"\\\n", " ", block)
        lines = re.sub(r"\|\s*\n", "| ", lines)
        for line in re.findall(r"^nats (?:[^'\n]|'[^']*')+", lines, re.M):
            words = shlex.split(line)
            bar = words.index("|") if "|" in words else len(words)
            yield words[1:bar], "".join(words[-1:]) if bar < len(words) else ""


def parsed(*names: str) -> list[argparse.Namespace]:
    """The commands of the page that begin with these words, by the flags of the `nats` CLI."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("words", nargs="*")
    for flag in (
        "subjects",
        "storage",
        "mirror",
        "max-age",
        "max-bytes",
        "since",
        "wait",
        "stream",
    ):
        parser.add_argument(f"--{flag}")
    for flag in ("filter", "max-msgs-per-subject"):
        parser.add_argument(f"--{flag}")
    for flag in ("defaults", "raw", "all", "last-per-subject", "pull"):
        parser.add_argument(f"--{flag}", action="store_true")
    found = []
    for words, jq in commands():
        if tuple(words[: len(names)]) == names:
            args = parser.parse_intermixed_args(words[len(names) :])
            found.append(argparse.Namespace(**vars(args), jq=jq))
    return found


def seconds(text: str) -> float:
    return int(text[:-1]) * {"s": 1, "h": 3600, "d": 86400}[text[-1]]


def stream(args: argparse.Namespace) -> StreamConfig:
    """What `nats stream add` makes of these flags."""
    return StreamConfig(
        name=args.words[0],
        subjects=args.subjects and [args.subjects],
        storage=args.storage,
        mirror=StreamSource(name=args.mirror) if args.mirror else None,
        max_age=seconds(args.max_age),
        max_bytes=int(args.max_bytes.removesuffix("GB")) * 2**30 if args.max_bytes else -1,
        max_msgs_per_subject=int(args.max_msgs_per_subject or -1),
    )


def consumer(args: argparse.Namespace) -> ConsumerConfig:
    """What `nats sub --stream` makes of these flags."""
    since = args.since and datetime.now(UTC) - timedelta(seconds=seconds(args.since))
    policy = DeliverPolicy.ALL
    if args.last_per_subject:
        policy = DeliverPolicy.LAST_PER_SUBJECT
    elif since:
        policy = DeliverPolicy.BY_START_TIME
    return ConsumerConfig(
        deliver_policy=policy,
        opt_start_time=since,
        ack_policy=AckPolicy.NONE,
        filter_subject=args.words[0],
    )


async def read(client: Client, stream: str, config: ConsumerConfig) -> list[dict]:
    """All advisories that a consumer of this stream receives now."""
    rows: list[dict] = []
    reader = await client.jetstream().subscribe(config.filter_subject, stream=stream, config=config)
    info = await reader.consumer_info()
    try:
        while len(rows) < info.num_pending + info.delivered.consumer_seq:
            rows.append(json.loads((await reader.next_msg(timeout=20)).data))
    finally:
        await reader.unsubscribe()
    return rows


def shown(rows: list[dict], jq: str) -> list[str]:
    """What jq prints of these rows."""
    done = subprocess.run(
        ["jq", "-r", jq],
        input="\n".join(map(json.dumps, rows)),
        text=True,
        capture_output=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_every_command_of_the_page_is_tested():
    heads = [" ".join(words[:2]) for words, _ in commands()]
    assert heads == [
        *("stream add", "stream add"),
        *("stream view", "sub --stream", "sub --stream"),
        *("consumer add", "consumer next", "sub --stream"),
    ]
    assert PAGE.count("nats ") >= len(heads)


@pytest.fixture
def server(start):
    return start(local.server, jetstream=True, options="max_connections: 100")["n1"]


@pytest.fixture
async def ops(server):
    """A user of the account that imports the advisories, with the streams of the page."""
    async with connected(server, server.user("ops")) as client:
        for args in parsed("stream", "add"):
            await client.jetstream().add_stream(stream(args))
        yield client


@pytest.fixture
def agent(server, run_agent, tmp_path):
    """`await agent()`: an agent that reminds of what is open every second."""

    async def agent():
        config = tmp_path / "history.toml"
        config.write_text(CONFIG)
        return await run_agent(server, server.user("agent"), "--config", config)

    return agent


ALL = ConsumerConfig(
    deliver_policy=DeliverPolicy.ALL, ack_policy=AckPolicy.NONE, filter_subject=MINE
)


async def told(client: Client) -> list[dict]:
    """What opened and what resolved, in the history."""
    rows = await read(client, "INSIGHTS", ALL)
    return [row for row in rows if row["transition"] in ("opened", "resolved")]


def brief(rows: list[dict]) -> list[str]:
    return [f"{row['transition']} {row['severity']}" for row in rows]


@needs_jq
@pytest.mark.live
async def test_the_streams_of_the_page_hold_the_history_and_what_is_open(server, ops, agent, crowd):
    (table,) = (args for args in parsed("sub") if args.stream == "INSIGHTS_STATE")
    user, password = server.user("app")

    async def are(*wanted: str) -> bool:
        return brief(await told(ops)) == list(wanted)

    async def open_are(*wanted: str, now: str = "now") -> bool:
        rows = await read(ops, "INSIGHTS_STATE", consumer(table))
        lines = shown(rows, table.jq.replace("now", now))
        return [line.split(" has ")[0] for line in lines if "SERVER_011" in line] == list(wanted)

    first = await agent()
    some = await crowd.join(server.url, 15, user=user, password=password)
    await until(lambda: are("opened warning"))
    await until(lambda: open_are("warning SERVER_011 n1"))
    more = await crowd.join(server.url, 40, user=user, password=password)
    worse = ("opened warning", "resolved warning", "opened critical")
    await until(lambda: are(*worse))
    # A finding that resolved leaves its last message.
    rows = await read(ops, "INSIGHTS_STATE", consumer(table))
    rows = [row for row in rows if row["code"] == "SERVER_011"]
    assert sorted((row["severity"], row["state"]) for row in rows) == [
        ("critical", "open"),
        ("warning", "resolved"),
    ]
    await until(lambda: open_are("critical SERVER_011 n1"))

    first.kill()
    await first.wait()
    await crowd.leave(more)
    await agent()
    # It does not know what was open, and nobody resolves what was cured meanwhile.
    again = (*worse, "opened warning")
    await until(lambda: are(*again))
    before, *_, after = await told(ops)
    assert before["fingerprint"] == after["fingerprint"]
    assert before["id"] != after["id"]
    assert (before["opened_at"] < after["opened_at"], after["revision"]) == (True, 1)
    rows = await read(ops, "INSIGHTS_STATE", consumer(table))
    (old,) = (row for row in rows if row["severity"] == "critical")
    assert old["state"] == "open"
    # Later, since it is valid for two minutes; the other one is by then because of its reminders.
    later = str(datetime.fromisoformat(old["valid_until"]).timestamp() + 1)
    await until(lambda: open_are("warning SERVER_011 n1", now=later))
    await crowd.leave(some)
    await until(lambda: are(*again, "resolved warning"))
    await until(lambda: open_are(now=later))

    for args in parsed("sub"):
        rows = await read(ops, args.stream, consumer(args))
        assert len(rows) == 0 if "USER_002" in args.words[0] else len(rows) > 0
    history = await read(ops, "INSIGHTS", ALL)
    sizes = [len(json.dumps(row)) for row in history]
    assert 1000 < sum(sizes) / len(sizes) < 3000


@pytest.mark.live
async def test_a_consumer_returns_each_advisory_once(server, ops, agent, crowd):
    (args,) = parsed("consumer", "add")
    name, durable = args.words
    durable_config = ConsumerConfig(durable_name=durable, filter_subject=args.filter)
    await ops.jetstream().add_consumer(name, durable_config)
    await agent()
    user, password = server.user("app")
    await crowd.join(server.url, 55, user=user, password=password)
    await until(lambda: told(ops))
    reader = await ops.jetstream().pull_subscribe_bind(durable, name)
    ids = set()
    for _ in range(3):
        (message,) = await reader.fetch(1, timeout=20)
        advisory = json.loads(message.data)
        assert advisory["severity"] == "critical"
        assert advisory["id"] not in ids
        ids.add(advisory["id"])
        await message.ack_sync()


@pytest.mark.live
async def test_two_streams_of_an_account_cannot_have_the_same_subjects(ops):
    with pytest.raises(BadRequestError, match="subjects overlap"):
        await ops.jetstream().add_stream(name="OTHER", subjects=["$INSIGHTS.ADVISORY.CRITICAL.>"])


@pytest.mark.live
async def test_a_stream_of_the_queries_receives_them_and_one_of_all_has_heartbeats(server, agent):
    async with connected(server, server.user("ops")) as client:
        for name, subject in (("ALL", "$INSIGHTS.>"), ("QUERIES", "INSIGHTS.>")):
            await client.jetstream().add_stream(name=name, subjects=[subject])
        await agent()
        await client.request("INSIGHTS.API.STATUS", timeout=5)

        async def stored(name: str, subject: str) -> bool:
            info = await client.jetstream().stream_info(name, subjects_filter=subject)
            return bool(info.state.subjects)

        await until(lambda: stored("QUERIES", "INSIGHTS.API.STATUS"))
        await until(lambda: stored("ALL", "$INSIGHTS.HEARTBEAT.*"))


@pytest.mark.live
def test_a_server_whose_system_account_has_jetstream_does_not_start(start):
    accounts = (
        "accounts { SYS: { jetstream: enabled, users: [{ user: root, password: x }] } }\n"
        "system_account: SYS"
    )
    with pytest.raises(InsightsError, match=r"(?i)jetstream.*system account"):
        start(local.server, jetstream=True, authorization=accounts)


@pytest.mark.live
def test_the_configuration_of_the_page_is_one(start, tmp_path):
    (block,) = re.findall(r"```\n(.*?)```", re.sub(r"```sh\n.*?```", "", PAGE, flags=re.S), re.S)
    configuration = block.replace("/var/lib/nats", str(tmp_path))
    start(local.server, authorization=configuration)
    assert (tmp_path / "jetstream").is_dir()


@needs_cli
@pytest.mark.live
async def test_the_commands_run_as_they_stand(server, agent, crowd, tmp_path):
    (tmp_path / "nats").symlink_to(os.path.abspath(CLI))  # noqa: ASYNC240
    variables = environment(server, server.user("ops"))
    variables |= {"PATH": f"{tmp_path}:{variables['PATH']}", "XDG_CONFIG_HOME": str(tmp_path)}

    async def shell(block: str) -> str:
        program = await asyncio.create_subprocess_exec(
            "bash",
            *("-euo", "pipefail", "-c", block),
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, errors = await program.communicate()
        assert program.returncode == 0, (block, out, errors)
        return out.decode()

    # Paging needs a terminal.
    _, history, table, reading, review, what_is_open = (
        block.replace("nats stream view INSIGHTS\n", "") for block in BLOCKS
    )
    await shell(history)
    await shell(table)
    program = await agent()
    user, password = server.user("app")
    await crowd.join(server.url, 55, user=user, password=password)
    async with connected(server, server.user("ops")) as client:

        async def critical() -> bool:
            return "opened critical" in brief(await told(client))

        await until(critical)
    # `--wait` ends when nothing comes, and reminders come each second.
    program.kill()
    await program.wait()
    assert "SERVER_011" in await shell(reading)
    assert "SERVER_011" in await shell(review)
    assert (await shell(what_is_open)).startswith("critical SERVER_011 n1 has ")
