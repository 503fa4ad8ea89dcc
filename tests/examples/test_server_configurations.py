"""The configurations for servers: they start, and the agent's user can do its work and no more."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from contextlib import suppress
from importlib.resources import files

import nats.errors
import pytest
from nats.js.api import RePublish

from kit.programs import EXAMPLES, ask, connected, until
from nats_insights.connection.connect import connect, user_info
from nats_insights.connection.contexts import Settings
from nats_insights.lab.servers import local
from nats_insights.subjects import USER_INFO
from nats_insights.tell import queries

live = pytest.mark.live

SERVERS = EXAMPLES / "servers"
DOCS = EXAMPLES.parent / "docs"
# The agent's as somebody may choose it: without its own quotes, its end would be a comment.
PASSWORDS = {"ADMIN": "four", "AGENT": '"s3cret#1"', "OPS": "ops-of-acme", "VIEWER": "v1"}
LOGINS = {name.lower(): (name.lower(), value.strip('"')) for name, value in PASSWORDS.items()}
FORBIDDEN = {
    "$SYS.REQ.CLAIMS.UPDATE",
    "$SYS.REQ.SERVER.PING.PROFILEZ",
    "$SYS.REQ.SERVER.ID.KICK",
    "$SYS.REQ.SERVER.ID.LDM",
    "$SYS.REQ.SERVER.ID.RELOAD",
    "$SYS.SERVER.ID.SHUTDOWN",
}


@pytest.fixture
def start_with(start, tmp_path, monkeypatch):
    """`start_with("export.conf", local.server)`: servers that include this file."""
    shutil.copytree(SERVERS, tmp_path / "servers")
    # Servers look for an included file from where their own is: in a directory below this one.
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name, value in PASSWORDS.items():
        monkeypatch.setenv(f"{name}_PASSWORD", value)

    def start_with(file: str, make, *names: str) -> local.System:
        return start(make, *names, authorization=f'include "../servers/{file}"')

    return start_with


@live
async def test_the_restricted_user_lacks_nothing(start_with, run):
    server = start_with("system-account.conf", local.server)["n1"]
    program = await run(server, LOGINS["agent"], "-m", "nats_insights", "doctor")
    said, _ = await program.communicate()
    assert (program.returncode, said.count("✗".encode())) == (0, 0), said.decode()


@live
async def test_the_restricted_user_has_nothing_to_spare(start_with):
    server = start_with("system-account.conf", local.server)["n1"]
    user, password = LOGINS["agent"]
    client = await connect(
        Settings(servers=(server.url,), user=user, password=password), name="test"
    )
    try:
        for subject in FORBIDDEN:
            await client.publish(subject)
        await client.subscribe("$SYS.ACCOUNT.>")
        await user_info(client)  # By now the server has refused what it refuses.
        assert client.denied == {*FORBIDDEN, "$SYS.ACCOUNT.>"}
        async with connected(server, LOGINS["admin"]) as witness:
            orders = await witness.subscribe("billing.orders")
            await witness.request(USER_INFO)  # By now the server has subscribed it.
            await client.publish("billing.orders")
            await user_info(client)
            await witness.request(USER_INFO)
            assert orders.pending_msgs == 0
    finally:
        await client.close()


@live
async def test_an_ordinary_account_hears_and_asks_from_another_server(start_with, run_agent, crowd):
    system = start_with("export.conf", local.cluster, "n1", "n2", "n3")
    await run_agent(system["n1"], LOGINS["agent"])
    async with connected(system["n3"], LOGINS["ops"]) as client:
        advisories = await client.subscribe("$INSIGHTS.ADVISORY.>")
        heartbeats = await client.subscribe("$INSIGHTS.HEARTBEAT.*")
        assert (await heartbeats.next_msg(timeout=20)).subject == "$INSIGHTS.HEARTBEAT.test"
        await until(lambda: all_answered(client))
        pong = await client.request("insights.srv.PING.insights-agent", timeout=5)
        assert json.loads(pong.data)["name"] == "insights-agent"

        user, password = LOGINS["ops"]
        await crowd.join(system["n2"].url, 12, user=user, password=password)
        advisory = await advisories.next_msg(timeout=20)
        assert json.loads(advisory.data)["transition"] == "opened"


@live
async def test_who_only_reads_may_query_and_listen_but_change_nothing(start_with, run_agent):
    system = start_with("export.conf", local.cluster, "n1", "n2")
    await run_agent(system["n1"], LOGINS["agent"])
    user, password = LOGINS["viewer"]
    settings = Settings(servers=(system["n2"].url,), user=user, password=password)
    client = await connect(settings, name="test")
    try:
        heartbeats = await client.subscribe("$INSIGHTS.HEARTBEAT.*")
        await heartbeats.next_msg(timeout=20)
        for name in queries.QUERIES:
            body = b'{"code": "SERVER_011"}' if name == "EXPLAIN" else b""
            reply = await client.request(f"INSIGHTS.API.{name}", body, timeout=20)
            assert "error" not in json.loads(reply.data), name
        changes = {f"INSIGHTS.API.{name}" for name in queries.CHANGES}
        for subject in changes:
            await client.publish(subject)
        await user_info(client)
        assert client.denied == changes
    finally:
        await client.close()


def test_the_page_names_what_each_kind_of_user_may_publish():
    page = (DOCS / "permissions.md").read_text()
    _, _, section = page.partition("## Who may change something\n")
    viewer = section[section.index("* `viewer`") : section.index("* `ops`")]
    granted = (SERVERS / "export.conf").read_text()
    for name in queries.QUERIES:
        assert f'"INSIGHTS.API.{name}"' in granted
        assert f"`{name}`" in viewer
    assert all(f"`{name}`" in section for name in queries.CHANGES)


@live
async def test_an_ordinary_account_cannot_forge_an_advisory(start_with):
    server = start_with("export.conf", local.server)["n1"]
    user, password = LOGINS["ops"]
    client = await connect(
        Settings(servers=(server.url,), user=user, password=password), name="test"
    )
    try:
        await client.publish("$INSIGHTS.ADVISORY.INFO.SYSTEM._._.X_001.0")
        await user_info(client)
        assert client.denied == {"$INSIGHTS.ADVISORY.INFO.SYSTEM._._.X_001.0"}
    finally:
        await client.close()


# How a user of OPS could hear the queries of others, and what it asks.
QUERIES = ("INSIGHTS.API.STATUS", "insights.srv.PING.insights-agent")
EARS = ("{query}", "{query} queue", "INSIGHTS.API.>", "insights.srv.>", "*.*.>", ">")
DENIAL = """
        subscribe: { deny: ["INSIGHTS.API.>", "insights.srv.>"] }"""


async def forged(system: local.System, query: str) -> int:
    """How many of its ways of hearing the queries of others let a user of OPS answer one."""
    answers = 0
    for ear in EARS:
        async with connected(system["n2"], LOGINS["ops"]) as forger:
            subject, _, queue = ear.format(query=query).partition(" ")

            async def forge(message) -> None:
                if message.subject == query and message.reply:
                    await message.respond(b"forged")

            await forger.subscribe(subject, queue=queue, cb=forge)
            await forger.request(USER_INFO)  # By now the server has subscribed it.
            async with connected(system["n2"], LOGINS["ops"]) as client:
                # Without an agent only the forger can answer, and there is no race to win.
                with suppress(nats.errors.NoRespondersError, nats.errors.TimeoutError):
                    answers += (await client.request(query, timeout=1)).data == b"forged"
    return answers


@live
@pytest.mark.parametrize("query", QUERIES)
async def test_an_ordinary_account_cannot_answer_in_the_place_of_the_agent(start_with, query):
    system = start_with("export.conf", local.cluster, "n1", "n2")
    assert await forged(system, query) == 0


@live
@pytest.mark.parametrize("query", QUERIES)
async def test_without_the_denial_an_ordinary_account_answers(start_with, tmp_path, query):
    example = tmp_path / "servers" / "export.conf"
    text = example.read_text()
    assert DENIAL in text
    example.write_text(text.replace(DENIAL, ""))
    system = start_with("export.conf", local.cluster, "n1", "n2")
    assert await forged(system, query) > 0


@live
async def test_a_stream_is_not_bound_by_the_denials(start):
    server = start(local.server, jetstream=True)["n1"]
    subject = "$INSIGHTS.ADVISORY.INFO.SYSTEM._._.X_001.0"
    async with connected(server, server.user("ops")) as client:
        advisories = await client.subscribe("$INSIGHTS.>")
        republish = RePublish(src="forged", dest=subject)
        await client.jetstream().add_stream(name="F", subjects=["forged"], republish=republish)
        await client.publish("forged", b"forged")
        assert (await advisories.next_msg(timeout=20)).subject == subject


async def all_answered(client) -> bool:
    """Whether the agent has heard all three servers."""
    status = await ask(client, "STATUS")
    return status["coverage"]["servers_answered"] == 3


def subjects(configuration: str) -> dict[str, list[str]]:
    """What the agent's user may publish and subscribe to."""
    text = re.sub(r"#.*", "", configuration)
    agent = text[text.index("publish:") : text.index("allow_responses: true")]
    publish, subscribe = agent.split("subscribe:")
    return {
        "publish": re.findall(r'"(.+?)"', publish),
        "subscribe": re.findall(r'"(.+?)"', subscribe),
    }


def clauses(configuration: str) -> set[str]:
    """The exports and imports, each as it stands."""
    lines = map(str.strip, configuration.splitlines())
    return {line for line in lines if re.match(r"\{ (stream|service):", line)}


def denials(configuration: str) -> list[str]:
    """What the users of OPS may not do, line by line."""
    return [line.strip() for line in configuration.splitlines() if "deny:" in line]


def demo() -> str:
    return files("nats_insights.lab.servers").joinpath("system.conf").read_text("utf-8")


def test_the_permissions_are_those_that_the_demo_and_the_tests_run_with():
    assert subjects((SERVERS / "agent-permissions.conf").read_text()) == subjects(demo())


def test_the_exports_and_imports_are_those_that_the_demo_and_the_tests_run_with():
    tenants = {clause for clause in clauses(demo()) if "INSIGHTS.ACCOUNT." in clause}
    assert clauses((SERVERS / "export.conf").read_text()) == clauses(demo()) - tenants


def test_the_denials_are_those_that_the_demo_and_the_tests_run_with():
    assert denials((SERVERS / "export.conf").read_text()) == denials(demo())
    assert len(denials(demo())) == 2
