"""The page on JetStream: its configuration is one, and its user may do what it must, no more."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kit.keeping import kept, message, publishing
from nats_insights import config
from nats_insights.agent import publisher as module
from nats_insights.connection.contexts import Settings
from nats_insights.connection.jetstream import JetStream
from nats_insights.errors import JetStreamError
from nats_insights.lab.servers import local

PAGE = (Path(__file__).parents[2] / "docs" / "jetstream.md").read_text()
SECTION, *_ = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
(PERMISSIONS,) = re.findall(r"```\n(permissions: .*?)```", PAGE, re.S)


def test_its_configuration_is_one():
    assert config.parse(SECTION).publish.creds == "/etc/nats-insights/publish.creds"


@pytest.fixture
def settings(start):
    """How an admin of the account connects, and the user of the page."""
    users = f"{{ user: admin, password: p }}, {{ user: publisher, password: p, {PERMISSIONS} }}"
    text = f"accounts {{ OPS: {{ jetstream: enabled, users: [{users}] }} }}"
    url = start(local.server, jetstream=True, authorization=text)["n1"].url
    return [Settings(servers=(url,), user=user, password="p") for user in ("admin", "publisher")]


@pytest.mark.live
async def test_its_user_may_publish_and_have_it_stored_and_not_change_the_stream(
    settings, monkeypatch
):
    monkeypatch.setattr(module, "FIRST_RETRY", 0.1)
    admin, own = settings
    async with kept(admin) as there:
        await there.make(discard="new", max_msgs=1)
        async with publishing(own) as publisher:
            for number in (1, 2, 3):
                publisher.put(message(number, "a"))
            await there.until(lambda: len(publisher.unstored) == 2 and publisher.problem)
            await there.change(max_msgs=-1)
            await there.until(lambda: publisher.done)
            assert publisher.client.lacks == set()
            with pytest.raises(JetStreamError, match="may not use"):
                await JetStream(publisher.client, timeout=0.5).create({"name": "X"})
        assert await there.stored() == [1, 2, 3]
