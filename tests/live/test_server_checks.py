"""The checks about one server, or about servers of one cluster, on real servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kit import servers
from kit.watching import watching
from nats_insights.lab.servers import local

pytestmark = pytest.mark.live


@pytest.fixture
def mixed() -> Iterator[local.System]:
    """A cluster in the middle of an upgrade."""
    old, new = map(servers.binary, servers.CI_VERSIONS)
    with local.cluster("n1", "n2", "n3", binary={"n1": old, "n2": new, "n3": new}) as system:
        yield system


async def test_two_versions_in_a_cluster_are_found_until_the_upgrade_is_done(mixed):
    soon = "checks.version_mismatch.open_after = 3\n"
    async with watching(mixed, agent="n2", listen="n3", more=soon) as watch:
        await watch.until(lambda: watch.open)
        assert watch.story == [("opened", "SERVER_002", "C1")]
        (opened,) = watch.advisories
        assert opened.evidence["versions"] == {"2.15.1": ["n2", "n3"], "2.10.26": ["n1"]}
        mixed["n1"].binary = mixed["n2"].binary
        mixed["n1"].restart()
        await watch.until(lambda: not watch.open)
        await watch.epochs(2)
        assert watch.story[1:] == [("resolved", "SERVER_002", "C1")]
