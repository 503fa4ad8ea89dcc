"""Auditors that look at a part of a simulated fleet each, and hear of one another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from kit.fleet.auditing import CHECKS, PATIENT, Watch
from nats_insights.judge.declare import Check
from nats_insights.lab.fleet.truth import Fact
from nats_insights.model.shards import Share

# Seconds for which a share is valid.
LASTING = 300.0


class Divided:
    """One auditor for each shard, on the connection of `watch`; `clusters` by names of shards.

    A shard that is in `silent` runs no epochs. The first epoch of each ends after `first` seconds:
    nobody knows how many servers there are, so it waits in vain.
    """

    def __init__(
        self,
        watch: Watch,
        clusters: Mapping[str, Sequence[str]],
        more: str = "",
        checks: Iterable[Check] = CHECKS.values(),
        first: float = 1.0,
    ) -> None:
        self.first = first
        self.watches = {
            name: Watch(
                watch.service,
                watch.client,
                watch.account,
                more + table(name, own, [other for other in clusters if other != name]),
                checks,
            )
            for name, own in clusters.items()
        }
        self.silent: set[str] = set()
        self.shared = 0

    async def epochs(self, count: int = 1) -> list[tuple[str, Fact]]:
        """So many epochs of each in turn: all transitions."""
        told = []
        for _ in range(count):
            for name, watch in self.watches.items():
                if name not in self.silent:
                    watch.wait(PATIENT if watch.auditor.number else self.first)
                    told += await watch.epochs()
                    self._publish(watch)
        return told

    def _publish(self, watch: Watch) -> None:
        auditor = watch.auditor
        assert auditor.share is not None
        said = msgspec.json.encode(auditor.share)
        self.shared = max(self.shared, len(said))
        for other in self.watches.values():
            if other is not watch:
                share = msgspec.json.decode(said, type=Share)
                other.auditor.shards.hear(replace(share, until=auditor.now + LASTING))

    @property
    def open(self) -> list[Fact]:
        """What is open in any shard; what two have open is there twice."""
        return sorted(fact for watch in self.watches.values() for fact in watch.open)


def table(name: str, clusters: Sequence[str], others: Sequence[str]) -> str:
    """The configuration of one shard."""
    own = {"name": name, "clusters": list(clusters), "others": list(others)}
    return "[shard]\n" + "".join(
        f"{key} = {msgspec.json.encode(value).decode()}\n" for key, value in own.items()
    )
