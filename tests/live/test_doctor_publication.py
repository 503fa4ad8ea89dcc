"""What `doctor` says of the second connection, on real servers with JetStream."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from nats.js.errors import APIError

from kit.doctor import about, examined
from kit.keeping import KEEP, keeper, kept, message
from kit.programs import until
from nats_insights.agent.publisher import Publisher
from nats_insights.commands import publication
from nats_insights.commands.symptoms import Step
from nats_insights.config import Config, Publish
from nats_insights.connection.contexts import Settings
from nats_insights.lab.servers import local
from nats_insights.lab.servers.jwts import Operator

pytestmark = pytest.mark.live

Told = Callable[..., Awaitable[list[Step]]]
MIB = 1024 * 1024
USER = "user: u, password: p"


@pytest.fixture
def account(start_server: Any) -> Callable[..., local.Server]:
    """`account("jetstream: enabled")`: a server with account A, whose user is u."""

    def account(options: str = "jetstream: enabled", user: str = "") -> local.Server:
        system = f"SYS: {{ users: [ {{ {USER.replace('u,', 's,')} }} ] }}"
        text = f"accounts {{ {system}, A: {{ {options}\nusers: [ {{ {USER}, {user} }} ] }} }}"
        server: local.Server = start_server(
            "n1", jetstream=True, authorization=f"{text}\nsystem_account: SYS"
        )["n1"]
        return server

    return account


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """`await told(server)`: the steps, where user u publishes."""
    monkeypatch.setenv("PUBLISH_PASSWORD", "p")

    async def told(server: local.Server, **section: Any) -> list[Step]:
        given: dict[str, Any] = {"user": "u", "password": "env://PUBLISH_PASSWORD"} | section
        first = Settings(servers=(server.url,))
        steps = publication.steps(first, Config(publish=Publish(**given)))
        return [step async for step in steps]

    return told


def by(server: local.Server) -> Settings:
    return Settings(servers=(server.url,), user="u", password="p")


def bad(steps: list[Step]) -> list[tuple[str, str]]:
    return [(what, found) for mark, what, found in steps if mark == "bad"]


async def test_nothing_is_said_where_the_section_is_empty(account):
    steps = publication.steps(by(account()), Config())
    assert [step async for step in steps] == []


async def test_streams_that_fit_are_named(account, told):
    server = account()
    async with kept(by(server)) as there:
        await there.make()
    assert await told(server) == [
        ("ok", "publish", f"{server.url} as user u of account A"),
        ("ok", "stream", "INSIGHTS fits"),
        ("ok", "stream", "INSIGHTS_STATE fits"),
        ("ok", "stream", "KV_INSIGHTS_LEASE fits"),
        ("ok", "stream", "KV_INSIGHTS_AGENT fits"),
    ]


async def test_a_user_that_may_not_use_a_bucket_is_told_what_to_allow(account, told):
    server = account(user='permissions: { publish: { deny: ["$KV.>"] } } }, { user: m, password: p')
    maker = Settings(servers=(server.url,), user="m", password="p")
    async with kept(maker) as there:
        await there.make()
    may_not = "the user of [publish] may not publish"
    assert [step for step in await told(server) if step[0] != "ok"] == [
        (
            "warning",
            "publish",
            f"{may_not} $KV.INSIGHTS_LEASE.>, so that this agent leads by heartbeats alone: "
            "allow it",
        ),
        (
            "warning",
            "publish",
            f"{may_not} $KV.INSIGHTS_AGENT.>, so that nothing survives a restart without --state: "
            "allow it",
        ),
    ]


async def test_streams_that_are_missing_are_a_warning(account, told):
    (_, *steps) = await told(account())
    assert steps == [
        (
            "warning",
            "stream",
            "there is no INSIGHTS, no INSIGHTS_STATE, no KV_INSIGHTS_LEASE, no KV_INSIGHTS_AGENT: "
            "`nats-insights assets apply` creates them",
        )
    ]


async def test_a_stream_that_is_otherwise_is_its_owners_wish(account, told):
    server = account()
    async with kept(by(server)) as there:
        await there.make(max_age=0)
    assert (
        "ok",
        "stream",
        "INSIGHTS differs, as its owner wants it: max_age is not set, not 30d",
    ) in await told(server)


WRONG: Mapping[str, tuple[dict[str, Any], str]] = {
    "of some": (
        {"name": "INSIGHTS", "subjects": ["$INSIGHTS.ADVISORY.INFO.>"]},
        "INSIGHTS is wrong: it does not store and acknowledge all of $INSIGHTS.ADVISORY.>",
    ),
    "of queries": (
        {"name": "TRAP", "subjects": ["INSIGHTS.>"]},
        "TRAP is wrong: it stores INSIGHTS.API.*, and so answers queries in the place of the "
        "agent: let it store $INSIGHTS.ADVISORY.> only",
    ),
    "of some, elsewhere": (
        {"name": "MINE", "subjects": ["$INSIGHTS.ADVISORY.CRITICAL.>"]},
        "MINE is wrong: it stores advisories, so that there can be no INSIGHTS beside it",
    ),
}


@pytest.mark.parametrize(("config", "sentence"), WRONG.values(), ids=WRONG)
async def test_a_stream_that_cannot_work_or_is_in_the_way_is_bad(account, told, config, sentence):
    server = account()
    async with kept(by(server)) as there:
        await there.jetstream.create(config)
    assert bad(await told(server)) == [("stream", sentence)]


async def test_a_stream_of_another_name_that_stores_all_works(account, told):
    server = account()
    async with kept(by(server)) as there:
        await there.jetstream.create({"name": "MINE", "subjects": ["$INSIGHTS.>"]})
    steps = await told(server)
    assert bad(steps) == []
    (found,) = [found for mark, _, found in steps if mark == "warning" and "MINE" in found]
    assert found.startswith("MINE is wrong: it stores advisories")
    # It must not answer queries, all the same.
    async with kept(by(server)) as there:
        wide = {"name": "MINE", "subjects": ["$INSIGHTS.>", "INSIGHTS.API.STATUS"]}
        await there.jetstream.update(wide)
    ((_, found),) = bad(await told(server))
    assert found.startswith("MINE is wrong: it stores INSIGHTS.API.*, and so answers queries")


FULL = {
    "messages": ({"max_msgs": 1}, "INSIGHTS: it is full with 1 messages: make it larger, or let"),
    "bytes": ({"max_bytes": 16 * 1024}, "INSIGHTS: it is full with 0.0 MiB: make it larger, or"),
}


@pytest.mark.parametrize(("limits", "sentence"), FULL.values(), ids=FULL)
async def test_a_full_stream_is_bad_unless_it_discards_old_messages(
    account, told, limits, sentence
):
    server = account()
    async with kept(by(server)) as there:
        await there.make(discard="new", **limits)
        await there.client.jetstream().publish(message(1).subject, b"1")
        ((what, found),) = bad(await told(server))
        assert (what, found[: len(sentence)]) == ("stream", sentence)
        await there.change(discard="old")
    assert bad(await told(server)) == []


async def test_an_account_that_may_store_less_than_the_missing_streams_reserve(account, told):
    steps = await told(account("jetstream: { max_file: 1536MB }"))
    assert bad(steps) == [
        (
            "storage",
            "the account may store 1,536.0 MiB, of which 0.0 MiB are taken, and the missing "
            "streams reserve 2,305.0 MiB: raise its limit, or create them with a smaller max_bytes",
        )
    ]


async def test_what_other_streams_reserve_is_taken(account, told):
    server = account("jetstream: { max_file: 3GB }")
    assert bad(await told(server)) == []
    async with kept(by(server)) as there:
        await there.jetstream.create({"name": "X", "subjects": ["x"], "max_bytes": 1500 * MIB})
    ((what, found),) = bad(await told(server))
    assert what == "storage"
    assert "of which 1,500.0 MiB are taken, and the missing streams reserve 2,305.0 MiB" in found


async def test_an_account_whose_storage_is_used_up_stores_nothing_more(account, told):
    server = account("jetstream: { max_file: 1MB }")
    async with kept(by(server)) as there:
        await there.jetstream.create({"name": "INSIGHTS", "subjects": ["$INSIGHTS.ADVISORY.>"]})
        with suppress(APIError):
            while True:
                await there.client.jetstream().publish(message(1).subject, bytes(1000))
    ((what, found),) = bad(await told(server))
    assert (what, found) == (
        "storage",
        "the account may store 1.0 MiB, and stores 1.0 MiB: raise its limit",
    )
    # The agent finds the same.
    publisher = Publisher(by(server), "test")
    async with kept(by(server)) as there, publisher.running():
        await there.until(lambda: publisher.stream)
        numbers = count()

        def refused() -> bool:
            publisher.put(message(next(numbers)))
            return "does not store" in publisher.problem

        await there.until(refused)
        assert publisher.problem == (
            "stream INSIGHTS does not store advisories: resource limits exceeded for account"
        )


async def test_when_the_credentials_expire_is_told(start_server, told, tmp_path):
    operator = Operator()
    system, account = operator.account("SYS"), operator.account("A")
    creds = tmp_path / "u.creds"
    creds.write_text(account.user("u", exp=int(time.time()) + 300 * 86_400 + 3600).creds)
    server = start_server("n1", authorization=operator.configuration(system))["n1"]
    steps = await told(server, user="", password="", creds=str(creds))
    assert ("ok", "publish", "they expire in 300 days") in steps


async def test_tiers_of_an_account_in_operator_mode_are_its_limits(start_server, told, tmp_path):
    operator = Operator()
    system = operator.account("SYS")
    tiers = {"R1": {"disk_storage": 100 * MIB, "streams": -1, "consumer": -1, "mem_storage": -1}}
    account = operator.account("A")
    account.claim(limits={"tiered_limits": tiers})  # type: ignore[dict-item]
    creds = tmp_path / "u.creds"
    creds.write_text(account.user("u").creds)
    text = operator.configuration(system)
    server = start_server("n1", jetstream=True, authorization=text)["n1"]
    steps = await told(server, user="", password="", creds=str(creds))
    ((what, found),) = bad(steps)
    assert what == "storage"
    assert found.startswith("the account may store 100.0 MiB, of which 0.0 MiB are taken")


REFUSED = {
    "may only read": (
        {"user": 'permissions: { publish: { deny: "$INSIGHTS.>" } }'},
        [("publish", "the user of [publish] may not publish $INSIGHTS.>: allow it")],
    ),
    "may not listen": (
        {"user": 'permissions: { subscribe: "_INBOX.>" }'},
        [("publish", "the user of [publish] may not subscribe to $INSIGHTS.ADVISORY.>: allow it")],
    ),
    "may not look for streams": (
        {"user": 'permissions: { publish: { deny: "$JS.API.STREAM.>" } }'},
        [
            ("publish", f"the user of [publish] may not publish $JS.API.{subject}: allow it")
            for subject in ("STREAM.NAMES", "STREAM.INFO.INSIGHTS", "STREAM.MSG.GET.INSIGHTS")
        ],
    ),
    "may not ask who it is": (
        {"user": 'permissions: { publish: { deny: "$SYS.>" } }'},
        [("publish", "the user may not use $SYS.REQ.USER.INFO: allow it")],
    ),
    "no JetStream": (
        {"options": ""},
        [
            (
                "jetstream",
                "JetStream is not enabled for the account of this connection: enable it there",
            )
        ],
    ),
}


@pytest.mark.parametrize(("made", "sentences"), REFUSED.values(), ids=REFUSED)
async def test_what_is_refused_is_one_sentence_each(account, told, made, sentences):
    assert bad(await told(account(**made))) == sentences


async def test_a_user_who_may_not_read_the_history_is_warned(account, told):
    deny = 'permissions: { publish: { deny: "$JS.API.CONSUMER.>" } }'
    (_, warning, *_) = await told(account(user=deny))
    assert warning == (
        "warning",
        "publish",
        "the user of [publish] may not publish $JS.API.CONSUMER.CREATE.INSIGHTS.>: HISTORY begins "
        "with the memory of the agent",
    )


async def test_a_user_of_the_system_account_is_told_that_it_can_have_no_jetstream(account, told):
    assert bad(await told(account(), user="s")) == [
        (
            "jetstream",
            "the system account can have no JetStream: let [publish] name another user",
        )
    ]


async def test_servers_without_jetstream_are_told(start_server, told):
    text = f"accounts {{ A: {{ users: [ {{ {USER} }} ] }} }}"
    server = start_server("n1", authorization=text)["n1"]
    assert bad(await told(server)) == [("jetstream", "JetStream is not enabled on the servers")]


async def test_jetstream_without_a_leader_is_told(start_cluster, monkeypatch):
    monkeypatch.setattr(publication, "_TIMEOUT", 0.5)
    system = start_cluster("n1", "n2", "n3", **KEEP)
    name, password = system.user("keeper")
    monkeypatch.setenv("PUBLISH_PASSWORD", password)
    section = Publish(user=name, password="env://PUBLISH_PASSWORD")
    async with kept(keeper(system)) as there:
        await there.make(replicas=3)
    for server in ("n2", "n3"):
        system[server].kill()
    first = Settings(servers=(system["n1"].url,))

    async def is_told() -> bool:
        found = publication.steps(first, Config(publish=section))
        said = bad([step async for step in found])
        return any(what == "jetstream" and "may have no leader" in told for what, told in said)

    await until(is_told)


async def test_a_wrong_password_a_missing_context_and_a_server_that_is_away(
    account, told, monkeypatch
):
    server = account()
    monkeypatch.setenv("PUBLISH_PASSWORD", "other")
    ((what, found),) = bad(await told(server))
    assert what == "publish"
    assert found.startswith(f"[publish]: {server.url} refused user 'u': check the name and")
    ((what, found),) = bad(await told(server, password="env://NONE_SUCH"))
    assert (what, found) == (
        "publish",
        "[publish]: password is env://NONE_SUCH, and there is no such variable",
    )
    ((what, found),) = bad(await told(server, user="", password="", context="nope"))
    assert what == "publish"
    assert found.startswith("[publish]: there is no context 'nope' in ")
    server.kill()
    ((what, found),) = bad(await told(server))
    assert what == "publish"
    assert found.endswith(f"(asked for: {server.url})")


async def test_a_user_that_may_what_the_documentation_says_and_no_more_is_enough(account, told):
    page = (Path(__file__).parents[2] / "docs" / "jetstream.md").read_text()
    steps = await told(account(user=f"permissions:{page.split('permissions:')[1].split('```')[0]}"))
    assert [mark for mark, _, _ in steps] == ["ok", "warning"]


async def test_a_stream_that_answers_in_the_place_of_the_agent_is_named(account, tmp_path):
    server = account()
    async with kept(by(server)) as there:
        await there.jetstream.create({"name": "TRAP", "subjects": ["INSIGHTS.>"]})
    code, said = await examined(tmp_path, server.url, login=("u", "p"))
    assert code == 3
    assert about(said, "queries") == [
        "✗ queries stream TRAP answers INSIGHTS.API.STATUS in the place of the agent: let it store "
        "$INSIGHTS.ADVISORY.> only"
    ]


async def test_the_program_ends_with_3_where_only_the_second_connection_is_wrong(
    start_server, tmp_path
):
    server = start_server("n1", **KEEP)["n1"]
    secret, config = tmp_path / "secret", tmp_path / "agent.toml"
    (tmp_path / "home").mkdir()
    name, password = server.user("app")
    secret.write_text(password)
    config.write_text(f"[publish]\nuser = '{name}'\npassword = 'file://{secret}'\n")
    code, said = await examined(
        tmp_path / "home", server.url, "--config", str(config), login=server.user("agent")
    )
    assert code == 3
    assert [line[0] for line in said] == ["✓"] * (len(said) - 1) + ["✗"]
    assert about(said, "publish") == [f"✓ publish {server.url} as user app of account APP"]
    secret.write_text(server.user("keeper")[1])
    config.write_text(config.read_text().replace("'app'", "'keeper'"))
    code, said = await examined(
        tmp_path / "home", server.url, "--config", str(config), login=server.user("agent")
    )
    assert (code, [line[0] for line in said][-2:]) == (0, ["✓", "!"])
