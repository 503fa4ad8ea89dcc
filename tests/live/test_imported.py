"""An agent whose account imports the requests to servers, as the example has it."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import nats
import pytest
from msgspec.structs import replace
from nats.aio.msg import Msg

from kit.doctor import about, examined
from kit.programs import EXAMPLES, connected
from kit.watching import watching
from nats_insights import checks
from nats_insights.connection.connect import connect, user_info
from nats_insights.connection.contexts import Settings
from nats_insights.errors import ConnectError
from nats_insights.gather.access import dangers, recognise
from nats_insights.gather.asking import Asker
from nats_insights.judge.declare import discover
from nats_insights.lab.servers import local
from nats_insights.lab.servers.jwts import Operator
from nats_insights.lab.servers.login import Login
from nats_insights.replies.connz import CONNZ
from nats_insights.replies.jsz import JSZ
from nats_insights.replies.statz import STATZ
from nats_insights.replies.varz import VARZ
from nats_insights.subjects import USER_INFO
from scenario import OF_SILENCE

pytestmark = pytest.mark.live

TEXT = (EXAMPLES / "servers" / "imported.conf").read_text()
APP = "  APP: { users: [ { user: app, password: pw } ] }\n"
QUICK = "gather.timeout = '300ms'\n"
LOW = "checks.excessive_user_connections.max_connections = 5\n"
Start = Callable[..., local.System]


@pytest.fixture
def start_imported(start_cluster, monkeypatch) -> Start:
    """`start_imported((old, new))`: n1 and n2 with the example, in which this was replaced."""
    for name in ("ADMIN", "AGENT"):
        monkeypatch.setenv(f"{name}_PASSWORD", "pw")

    def start_imported(*replaced: tuple[str, str]) -> local.System:
        text = TEXT.replace("  # Your own accounts stand here.\n", APP)
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new)
        return start_cluster("n1", "n2", authorization=text)

    return start_imported


def agent(system: local.System, server: str = "n1", prefix: str = "mon.req") -> Settings:
    url = system[server].url
    return Settings(servers=(url,), user="agent", password="pw", sys_req_prefix=prefix)


def without(*endpoints: str) -> list[tuple[str, str]]:
    """The example without the imports of these endpoints."""
    lines = TEXT.splitlines(keepends=True)
    names = tuple(f'.{name}" }}' for name in endpoints)
    return [(line, "") for line in lines if any(name in line for name in names)]


async def status(system: local.System) -> dict[str, Any]:
    async with connected(system["n2"], ("agent", "pw")) as client:
        return dict(json.loads((await client.request("INSIGHTS.API.STATUS", timeout=5)).data))


async def test_it_sees_the_whole_system_and_says_how(start_imported, crowd):
    system = start_imported()
    await crowd.join(system["n2"].url, 8, user="app", password="pw")
    settings = agent(system)
    async with watching(system, settings, agent(system, "n2"), more=LOW) as watch:
        await watch.until(lambda: watch.named("USER_002"))
        told = await status(system)
    assert watch.named("USER_002") == {"app"}
    assert watch.agent.auditor.system_accounts == {"SYS"}
    assert told["coverage"] == {"servers_known": 2, "servers_answered": 2, "missing": []}
    assert (told["checks_not_evaluated"], told["not_evaluated"]) == (0, [])
    access = told["access"]
    assert (access["mode"], access["account"], access["prefix"]) == ("imported", "MON", "mon.req")


async def test_every_server_answers_each_request_once(start_imported):
    client = await connect(agent(start_imported()), name="test")
    try:
        await recognise(client)
        asker = Asker(client, 0.5)
        assert asker.denied == set()
        for endpoint in (VARZ, CONNZ, STATZ, JSZ):
            await asker.everybody(endpoint, (), at_least=3)  # As long as anybody may come.
        assert [cost.replies for cost in asker.costs().values()] == [2, 2, 2, 2]
    finally:
        await client.close()


async def test_a_server_that_dies_is_dead_and_one_that_stops_has_left(start_imported):
    system = start_imported()
    async with watching(system, agent(system), agent(system), more=QUICK) as watch:
        system["n2"].kill()
        roster = watch.agent.auditor.roster
        await watch.until(lambda: [one.state for one in roster if one.name == "n2"] == ["dead"])
        system["n2"].restart()
        await watch.until(
            lambda: [one.state for one in roster if one.name == "n2"] == ["answering"]
        )
        system["n2"].stop()
        await watch.until(lambda: [one.state for one in roster if one.name == "n2"] == ["left"])


async def test_checks_whose_requests_are_not_imported_are_unknown_and_named(start_imported):
    system = start_imported(*without("CONNZ", "STATZ"))
    async with watching(system, agent(system), agent(system, "n2")) as watch:
        await watch.epochs(1)
        told = await status(system)
    assert told["verdict"] == "unknown"
    reasons = {one["code"]: one["why"] for one in told["not_evaluated"]}
    assert reasons == {
        "OPT_BALANCE_003": "not permitted: CONNZ",
        "OPT_BALANCE_002": "not permitted: STATZ",
    }


async def test_doctor_says_how_the_agent_sees_the_system(start_imported, tmp_path):
    url = start_imported()["n1"].url
    code, said = await examined(tmp_path, url, "--sys-req-prefix", "mon.req", login=("agent", "pw"))
    assert (code, about(said, "account", "events", "privilege")) == (
        0,
        ["✓ account user agent of account MON, which imports requests as mon.req"],
    )
    assert about(said, "JSZ") == ["✓ JSZ 2 of 2 servers answered"]


async def test_doctor_says_what_is_not_imported(start_imported, tmp_path):
    url = start_imported(*without("JSZ", "LAMEDUCK"))["n1"].url
    code, said = await examined(tmp_path, url, "--sys-req-prefix", "mon.req", login=("agent", "pw"))
    assert code == 3
    assert about(said, "JSZ", "events") == [
        "! events servers that stop seem to fail: not imported $SYS.SERVER.*.SHUTDOWN and "
        "$SYS.SERVER.*.LAMEDUCK",
        "✗ JSZ not imported: mon.req.SERVER.*.JSZ",
    ]


@pytest.mark.parametrize(
    "given",
    [
        '"$SYS.REQ.SERVER.*.JSZ" }, to: "other.SERVER.*.JSZ"',
        '"$SYS.REQ.SERVER.PING.JSZ" }, to: "mon.req.SERVER.PING.JSZ"',
    ],
    ids=["under another name", "of all servers at once only"],
)
async def test_what_is_imported_otherwise_is_not_requested(start_imported, given):
    system = start_imported(('"$SYS.REQ.SERVER.*.JSZ" }, to: "mon.req.SERVER.*.JSZ"', given))
    client = await connect(agent(system), name="test")
    try:
        await recognise(client)
        assert Asker(client, 0.5).denied == {"JSZ", "JSZ_STREAMS"}
    finally:
        await client.close()


WIDE = (
    (
        '{ stream: "$SYS.SERVER.*.SHUTDOWN", accounts',
        '{ service: "$SYS.REQ.SERVER.*.*", accounts: [MON], response_type: stream }\n'
        '{ stream: "$SYS.SERVER.*.SHUTDOWN", accounts',
    ),
    (
        '"$SYS.REQ.SERVER.*.VARZ" }, to: "mon.req.SERVER.*.VARZ"',
        '"$SYS.REQ.SERVER.*.*" }, to: "mon.req.SERVER.*.*"',
    ),
)


@pytest.mark.parametrize(
    ("replaced", "dangerous"),
    [((), []), (WIDE, ["KICK", "LDM", "RELOAD"])],
    ids=["example", "wide"],
)
async def test_what_it_could_change_is_what_is_imported(start_imported, replaced, dangerous):
    client = await connect(agent(start_imported(*replaced)), name="test")
    try:
        await recognise(client)
        user = await user_info(client)
        assert dangers(user, client.server_id, client.sys_req, client.imports) == dangerous
    finally:
        await client.close()


async def test_accounts_with_jwts_import_the_requests_too(start_cluster, tmp_path, crowd):
    operator = Operator()
    requests = ["$SYS.REQ.SERVER.*.*", "$SYS.REQ.ACCOUNT.PING.STATZ"]
    exports = [
        {"name": one, "type": "service", "subject": one, "response_type": "Stream"}
        for one in requests
    ]
    system_account = operator.account("SYS", exports=exports)
    imports = [
        {
            "name": one,
            "type": "service",
            "account": system_account.id,
            "subject": one,
            "local_subject": one.replace("$SYS", "mon").replace("*", "$1", 1).replace("*", "$2"),
        }
        for one in requests
    ]
    mon, app = operator.account("MON", imports=imports), operator.account("APP")
    system = start_cluster("n1", "n2", authorization=operator.configuration(system_account))
    (tmp_path / "agent.creds").write_text(mon.user("agent").creds)
    creds = str(tmp_path / "agent.creds")
    settings = Settings(servers=(system["n1"].url,), creds=creds, sys_req_prefix="mon.REQ")
    login = Login("app", signed=app.user("app"))
    await crowd.join(system["n2"].url, 8, login=login)
    async with watching(system, settings, settings, more=LOW) as watch:
        await watch.until(lambda: "USER_002" in {code for code, _ in watch.open})
        assert {said.entity.account for said in watch.open.values()} == {app.id}
        assert set(watch.agent.auditor.snapshot.lacking.denied) == set()
        client = await connect(settings, name="test")
        try:
            await recognise(client)
            assert sorted(client.imports or ()) == sorted(requests)
        finally:
            await client.close()


REFUSED = {
    "another prefix": (
        {"prefix": "ops.req"},
        "no server takes requests on ops.req.SERVER.*.VARZ: import them into account MON from the "
        "system account under this name, or give another --sys-req-prefix",
    ),
    "no prefix": (
        {"prefix": "$SYS.REQ"},
        "logged in as user agent of account MON, which is not the system account, and sees only "
        "its own connections: give the agent a user of the account that `system_account` names in "
        "the configuration of the servers, or --sys-req-prefix where this account imports its "
        "requests",
    ),
}


@pytest.mark.parametrize(("given", "sentence"), REFUSED.values(), ids=REFUSED)
async def test_what_is_wrong_is_said_in_one_sentence(start_imported, given, sentence):
    system = start_imported()
    client = await connect(agent(system, **given), name="test")
    try:
        with pytest.raises(ConnectError) as raised:
            await recognise(client)
    finally:
        await client.close()
    assert str(raised.value) == sentence


async def test_imports_under_the_same_name_are_refused_since_servers_answer_twice(start_imported):
    system = start_imported(("mon.req.", "$SYS.REQ."))
    client = await connect(agent(system, prefix="$SYS.REQ"), name="test")
    try:
        with pytest.raises(ConnectError, match="answer some of them twice"):
            await recognise(client)
    finally:
        await client.close()


async def test_a_missing_permission_is_named_as_the_account_has_it(start_imported):
    user = "{ user: agent, password: $AGENT_PASSWORD"
    denied = f'{user}, permissions: {{ publish: {{ deny: "mon.req.SERVER.*.CONNZ" }} }}'
    system = start_imported((user, denied))
    async with watching(system, agent(system), agent(system, "n2"), more=QUICK) as watch:
        await watch.epochs(1)
        told = await status(system)
        lacking = watch.agent._refused
    assert "not permitted: CONNZ" in {one["why"] for one in told["not_evaluated"]}
    assert lacking == {"mon.req.SERVER.*.CONNZ"}


async def test_nobody_makes_it_send_a_request_to_servers_as_a_reply(start_imported):
    system = start_imported()
    async with (
        connected(system["n2"], ("agent", "pw")) as client,
        watching(system, agent(system), agent(system, "n2")),
    ):
        heard = []

        async def hear(message: Msg) -> None:
            heard.append(message.subject)

        await client.subscribe("mon.req.>", cb=hear)
        await client.request(USER_INFO)  # By now the server has subscribed it.
        await client.publish("INSIGHTS.API.STATUS", reply="mon.req.SERVER.PING.any")
        await status(system)  # Answered one after another.
        await client.request(USER_INFO)
    assert "mon.req.SERVER.PING.any" not in heard


OTHER_REQUESTS = (
    *("mon.req.SERVER.PING", "mon.req.SERVER.N.KICK", "mon.req.SERVER.N.PROFILEZ"),
    *("$SYS.REQ.SERVER.PING.VARZ", "$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.ACCOUNT.PING.CONNZ"),
    *("mon.req.ACCOUNT.PING.CONNZ", "$JS.API.INFO", "anything", "_INBOX.other"),
)


def printed(*flags: str) -> str:
    command = [sys.executable, "-m", "nats_insights", "permissions", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


async def test_a_user_with_the_permissions_that_are_printed_can_do_that_and_no_more(
    start_imported, caplog
):
    caplog.set_level(logging.INFO, "nats_insights")
    permissions = printed("--sys-req-prefix", "mon.req")
    own = "user: agent, password: $AGENT_PASSWORD"
    reader = "{ user: reader, password: $AGENT_PASSWORD }"
    bound = f"{own}, permissions: {{ {permissions} }} }}\n{reader}"
    system = start_imported((f"{{ {own} }}", f"{{ {bound}"))
    listen = replace(agent(system, "n2"), user="reader")
    by_default = [check for check in discover(checks) if check.name not in OF_SILENCE]
    async with watching(system, agent(system), listen, checks=by_default) as watch:
        await watch.epochs(3)
        async with connected(system["n2"], ("reader", "pw")) as client:
            told = json.loads((await client.request("INSIGHTS.API.STATUS", timeout=5)).data)
    assert told["checks_not_evaluated"] == 0
    assert [one for one in told["not_evaluated"] if not one["excused"]] == []
    assert (told["access"]["mode"], told["coverage"]["servers_answered"]) == ("imported", 2)
    assert "lacks the permission" not in caplog.text
    said, all_said = "", asyncio.Event()

    async def hear(error: Exception) -> None:
        nonlocal said
        said += f"{error}\n".lower()
        if said.count("permissions violation") == len(OTHER_REQUESTS):
            all_said.set()

    login = {"user": "agent", "password": "pw"}
    client = await nats.connect(system["n1"].url, error_cb=hear, allow_reconnect=False, **login)
    try:
        for subject in OTHER_REQUESTS:
            await client.publish(subject, b"", reply="_INBOX.insights.x")
        await client.publish("mon.req.SERVER.PING.VARZ", b"", reply="_INBOX.insights.x")
        await client.flush()
        # nats-py passes each error on in a task of its own.
        await asyncio.wait_for(all_said.wait(), 5)
    finally:
        await client.close()
    assert said.count("permissions violation") == len(OTHER_REQUESTS)
    assert [one for one in OTHER_REQUESTS if f'"{one.lower()}"' not in said] == []
