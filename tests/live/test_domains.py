"""Streams that are in another JetStream domain, or in another account, than the agent's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from kit.asked import after
from kit.keeping import Kept, kept, message, publishing
from kit.published import openings, tell
from nats_insights.__main__ import main
from nats_insights.agent.archive import Archive
from nats_insights.agent.bucket import Bucket
from nats_insights.agent.lease import Lease
from nats_insights.commands import publication
from nats_insights.config import Config, Publish
from nats_insights.connection.connect import connect
from nats_insights.connection.contexts import Settings
from nats_insights.connection.jetstream import JetStream
from nats_insights.errors import JetStreamError
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers import local
from nats_insights.tell.history import Question

pytestmark = pytest.mark.live


@pytest.fixture
def joined(start_system: Any, tmp_path: Path) -> local.System:
    """A hub and a leaf of it, each with a JetStream domain of its own, for account APP."""

    def domain(name: str) -> str:
        return f'jetstream {{ domain: {name}, store_dir: "{tmp_path}/{name}" }}'

    system: local.System = start_system(
        {"": ["n1"]},
        leaves={"edge": "n1"},
        jetstream=True,
        account_options={"APP": "jetstream: enabled"},
        options={"n1": domain("hub"), "edge": domain("edge")},
    )
    return system


def at_the_leaf(joined: local.System, **more: str) -> Settings:
    return replace(login(joined, "app", "edge"), **more)


async def test_what_is_published_at_a_leaf_is_stored_in_the_hub_and_acknowledged(joined):
    async with kept(login(joined, "app", "n1")) as hub:
        await hub.make(max_msgs=2, discard="new")
        async with publishing(at_the_leaf(joined, js_domain="hub")) as publisher:
            await hub.until(lambda: publisher.stream == "INSIGHTS")
            for number in (1, 2):
                publisher.put(message(number))
            await hub.until(lambda: publisher.done)
            assert await hub.stored() == [1, 2]
            # The word of the hub comes back too where it refuses.
            for number in (3, 4):
                publisher.put(message(number, "f"))
            await hub.until(lambda: "maximum messages exceeded" in publisher.problem)
            await hub.change(max_msgs=-1)
            await hub.until(lambda: publisher.done)
        assert await hub.stored() == [1, 2, 3, 4]


async def uses_the_buckets(settings: Settings, there: Kept) -> None:
    """An agent with this connection has the lease, and keeps its state, where others see both."""
    client = await connect(settings, name="agent")
    try:
        mine = Lease(lambda: client, "", "a", "a")
        other = Lease(lambda: there.client, "", "b", "b")
        assert (await mine.take(), await other.take()) == (True, False)
        await mine.release()
        assert await other.take()
        bucket = Bucket(lambda: client, "")
        for value in (b"one", b"two"):
            await bucket.save(value)
        assert await Bucket(lambda: there.client, "").load() == b"two"
    finally:
        await client.close()


async def test_an_agent_at_a_leaf_uses_the_buckets_of_the_hub(joined):
    async with kept(login(joined, "app", "n1")) as hub:
        await hub.make()
        await uses_the_buckets(at_the_leaf(joined, js_domain="hub"), hub)


async def test_an_account_that_imports_the_api_and_the_keys_uses_the_buckets(start_server):
    server = start_server("n1", jetstream=True, authorization=IMPORTED)["n1"]
    by = Settings(servers=(server.url,), user="keeper", password="p")
    async with kept(by) as there:
        await there.make()
        await uses_the_buckets(replace(by, user="far", js_api_prefix="JS.keep.API"), there)


async def test_history_is_read_from_the_hub(joined):
    async with kept(login(joined, "app", "n1")) as hub:
        await hub.make()
        _, sent = tell(next(openings()))
        async with publishing(at_the_leaf(joined, js_domain="hub")) as publisher:
            publisher.put(sent)
            await hub.until(lambda: publisher.stream == "INSIGHTS" and publisher.done)
            # It happened in the future: stories begin there.
            view = replace(after(), known_since=float("inf"))
            past = await Archive(publisher).about(Question(view, b""))
    assert ([row.payload for row in past.rows], past.problem) == ([sent.payload], "")


async def test_without_a_domain_the_leaf_looks_for_streams_of_its_own(joined):
    async with kept(login(joined, "app", "n1")) as hub:
        await hub.make()
        async with publishing(at_the_leaf(joined)) as publisher:
            await hub.until(lambda: publisher.stream == "")
            publisher.put(message(1))
            await hub.until(lambda: publisher.done)
        await hub.until(lambda: hub.numbers == [1])


async def test_doctor_looks_into_the_domain(joined, monkeypatch):
    user, password = joined["edge"].user("app")
    monkeypatch.setenv("PUBLISH_PASSWORD", password)

    async def said(domain: str) -> list[tuple[str, str, str]]:
        section = Publish(user=user, password="env://PUBLISH_PASSWORD", js_domain=domain)
        first = Settings(servers=(joined["edge"].url,))
        found = publication.steps(first, Config(publish=section))
        return [step async for step in found]

    async with kept(login(joined, "app", "n1")) as hub:
        await hub.make()
    assert [(mark, found) for mark, _, found in (await said("hub"))[1:]] == [
        ("ok", "INSIGHTS fits"),
        ("ok", "INSIGHTS_STATE fits"),
        ("ok", "KV_INSIGHTS_LEASE fits"),
        ("ok", "KV_INSIGHTS_AGENT fits"),
    ]
    assert [mark for mark, _, _ in await said("edge")] == ["ok", "warning"]
    (_, missing) = await said("nowhere")
    assert missing == (
        "bad",
        "jetstream",
        "nothing answers on $JS.nowhere.API.>: give another JetStream domain, or API prefix",
    )


def test_assets_are_created_in_the_domain_of_a_context(joined, tmp_path, capsys, monkeypatch):
    user, password = joined["edge"].user("app")
    context = tmp_path / "leaf.json"
    more = {"user": user, "password": password, "jetstream_domain": "hub"}
    context.write_text(json.dumps({"url": joined["edge"].url} | more))
    assert main(["assets", "apply", "--context", str(context)]) == 0
    capsys.readouterr()

    def state(server: str, *flags: str) -> list[str]:
        given = ("--server", joined[server].url, "--user", user, "--password", password)
        main(["assets", *given, *flags])
        return [line.split()[1] for line in capsys.readouterr().out.splitlines()[1:]]

    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert state("n1") == ["fits"] * 4
    assert state("edge") == ["missing"] * 4
    assert state("edge", "--js-domain", "hub") == ["fits"] * 4


IMPORTED = """
    accounts {
      KEEP: {
        jetstream: enabled
        users: [ { user: keeper, password: p } ]
        exports: [
          { service: "$JS.API.>", response_type: stream }
          { service: "$INSIGHTS.ADVISORY.>" }
          { service: "$KV.>" }
        ]
      }
      FAR: {
        users: [ { user: far, password: p }
          { user: deaf, password: p, permissions: { publish: { deny: "JS.keep.API.>" } } } ]
        imports: [
          { service: { account: KEEP, subject: "$JS.API.>" }, to: "JS.keep.API.>" }
          { service: { account: KEEP, subject: "$INSIGHTS.ADVISORY.>" } }
          { service: { account: KEEP, subject: "$KV.>" }, to: "JS.keep.API.$KV.>" }
        ]
      }
    }"""


async def test_an_account_that_imports_the_api_and_the_subjects_publishes_through_them(
    start_server,
):
    server = start_server("n1", jetstream=True, authorization=IMPORTED)["n1"]
    by = Settings(servers=(server.url,), user="keeper", password="p")
    far = replace(by, user="far", js_api_prefix="JS.keep.API")
    async with kept(by) as there:
        await there.make()
        async with publishing(far) as publisher:
            await there.until(lambda: publisher.stream == "INSIGHTS")
            for number in range(300):
                publisher.put(message(number))
            await there.until(lambda: publisher.done)
            assert (publisher.problem, publisher.dropped) == ("", 0)
        assert await there.stored() == list(range(300))


async def test_a_request_that_is_denied_is_named_with_its_prefix(start_server):
    server = start_server("n1", jetstream=True, authorization=IMPORTED)["n1"]
    deaf = Settings(servers=(server.url,), user="deaf", password="p", js_api_prefix="JS.keep.API")
    client = await connect(deaf, name="test")
    try:
        with pytest.raises(JetStreamError) as refused:
            await JetStream(client, 0.5).account()
        assert str(refused.value) == "the user may not use JS.keep.API.INFO: allow it"
    finally:
        await client.close()
