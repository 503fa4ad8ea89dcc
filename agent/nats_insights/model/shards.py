"""Shards: what agents of other parts of a divided system contribute to sums over all of it.

    shard    some clusters of the system, with agents of their own
    share    what the leader of a shard published after its last epoch
    floor    a key that a shard does not list has at most this count there
    asked    keys whose counts another shard needs, however small they are

With S shards, a key whose sum exceeds a limit exceeds limit / S in one shard at least. So each
shard lists the keys above that floor, and those that others list or ask for. For the shard that
judges sums, the counts of another shard are one more part of its ledger.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from nats_insights import config
from nats_insights.facts import MOST_CLUSTERS, MOST_COUNTS, MOST_SHARDS, Counted, Key, Names
from nats_insights.model.fold import Fold, Tally

if TYPE_CHECKING:
    from nats_insights.model.snapshot import Snapshot


class Share(Struct, frozen=True, kw_only=True):
    """What a shard contributes: its clusters, and by the names of folds its counts.

    `others` are the shards that it knows. It is valid `until` a Unix second.
    """

    shard: str
    others: list[str]
    clusters: list[str]
    folds: dict[str, Counted]
    until: float = 0.0


class Shards:
    """The shards of a system as the agent of one of them knows them.

    `troubles` says for each other shard why it does not contribute in this epoch. If it `waits`, a
    shard that does has told nothing new since sums were judged last.
    """

    def __init__(self, own: config.Shard = config.Shard()) -> None:  # noqa: B008
        self.name = own.title
        self.others = frozenset(own.others)
        self.shares: dict[str, Share] = {}
        self.troubles: dict[str, str] = {}
        self.waits = False
        self._heard: dict[str, Share] = {}
        self._judged: dict[str, Share] = {}
        self._usable: dict[Fold, dict[str, Mapping[Key, int]]] = {}
        self._floors: dict[tuple[Fold, str], float] = {}
        self.start_over()

    def start_over(self) -> None:
        """Nothing is known of the own servers yet; what others said is kept."""
        self._epochs = 0
        self._last: dict[Fold, Counted] = {}
        self._doubted: dict[Fold, dict[Names, float]] = {}

    @property
    def divided(self) -> bool:
        """Whether there are other shards."""
        return bool(self.others)

    @property
    def number(self) -> int:
        """How many shards there are."""
        return 1 + len(self.others)

    @property
    def judge(self) -> str:
        """The shard that judges sums: the first by name, heard or not, so that all agree."""
        return min({self.name, *self.others})

    @property
    def judges(self) -> bool:
        """Whether it is this one."""
        return self.judge == self.name

    def hear(self, share: Share) -> bool:
        """Another shard published a share; False if there are too many shards to keep it."""
        known = share.shard in self.others or share.shard in self.shares
        if not known and len(self.shares) >= MOST_SHARDS:
            return False
        self.shares[share.shard] = share
        return True

    @property
    def elsewhere(self) -> set[str]:
        """The clusters that other shards look at, silent ones too."""
        return {cluster for share in self.shares.values() for cluster in share.clusters}

    def begin(self, now: float, clusters: Collection[str]) -> None:
        """Begin an epoch in which this shard has these clusters.

        What is heard later is for the next one: else this one could add counts that it did not know
        when it left out what cannot matter.
        """
        self._epochs += 1
        self._heard, self._usable, self._floors = dict(self.shares), {}, {}
        self.troubles = {}
        for shard in sorted((self.others | self._heard.keys()) - {self.name}):
            if why := self._trouble(shard, now, clusters):
                self.troubles[shard] = why
        told = self.others - self.troubles.keys()
        # A client that moved from one shard to another would be in neither, epoch after epoch.
        self.waits = any(self._heard[one] is self._judged.get(one) for one in told)
        if not self.waits:
            self._judged = self._heard

    def _trouble(self, shard: str, now: float, clusters: Collection[str]) -> str:
        share = self._heard.get(shard)
        if share is None:
            return f"shard {shard} was never heard"
        if share.until < now:
            return "" if shard not in self.others else f"shard {shard} is silent"
        if shard not in self.others or {share.shard, *share.others} != {self.name, *self.others}:
            return f"shard {shard} has another list of shards"
        if both := set(share.clusters) & set(clusters):
            return f"cluster {min(both)} is in this shard and in {shard}"
        return ""

    def named(self, fold: Fold) -> set[Key]:
        """The keys whose counts here other shards need."""
        return {
            key
            for share in self._heard.values()
            if share.shard not in self.troubles and fold.name in share.folds
            for key in share.folds[fold.name].named()
        }

    def merge(self, snapshot: Snapshot, floors: Mapping[Fold, float]) -> None:
        """Add the counts of the other shards to the ledgers of these folds.

        A shard that does not contribute owes its counts, as a silent server owes a reply.
        """
        snapshot.torn |= bool(floors)
        for fold, floor in floors.items():
            ledger = snapshot.sweeps.ledgers[fold]
            usable = self._usable[fold] = {}
            for shard in sorted(self.others):
                counted = self._counted(shard, fold, floor)
                if counted is None:
                    ledger.drop(part_of(shard))
                    snapshot.lacking.owed[fold.endpoint].add(part_of(shard))
                    continue
                usable[shard] = dict(counted.counts)
                self._floors[fold, shard] = counted.floor
                ledger.put(part_of(shard), Tally(usable[shard]))

    def _counted(self, shard: str, fold: Fold, floor: float) -> Counted | None:
        if shard in self.troubles:
            return None
        counted = self._heard[shard].folds.get(fold.name)
        # With a higher floor, a key could exceed the limit in sum and be listed nowhere.
        return counted if counted and counted.exact and counted.floor <= floor else None

    def unlisted(self, fold: Fold, key: Any) -> str:
        """Why the sum of a key is not exact though no shard is missing; "" if it is."""
        for shard, counts in self._usable.get(fold, {}).items():
            if key not in counts:
                return f"its count in shard {shard}"
        return ""

    def hidden(self, fold: Fold, key: Any) -> float:
        """How much the shards that do not list a key may have of it, at most."""
        usable = self._usable.get(fold, {})
        return sum(self._floors[fold, s] for s, counts in usable.items() if key not in counts)

    def doubtful(
        self, snapshot: Snapshot, fold: Fold, limit: float
    ) -> Iterator[tuple[Names, str, bool]]:
        """The keys whose sum may exceed `limit`, why, and whether that will be known soon.

        A key that is new in one shard is listed by the others an epoch later.
        """
        usable = self._usable.get(fold, {})
        most = sum(self._floors[fold, shard] for shard in usable)
        before = self._doubted.get(fold, {})
        now = self._doubted[fold] = {}
        if not most:
            return
        for key, total in snapshot.sweeps.ledgers[fold].above(limit - most):
            if (hidden := self.hidden(fold, key)) > 0 and total + hidden > limit:
                since = now[key] = before.get(key, snapshot.now)
                until = max(self._heard[shard].until for shard in usable)
                soon = snapshot.now - since <= until - snapshot.now
                yield key, self.unlisted(fold, key), soon

    def count(
        self, snapshot: Snapshot, fold: Fold, floor: float, asked: Collection[Key], *, none: bool
    ) -> Counted:
        """What this shard contributes to one fold. With `none`, no key is above the floor here.

        Between two sweeps it is what the last one counted. In a first epoch a slow server may not
        be known yet, so nothing is exact.
        """
        if fold.endpoint not in snapshot.lacking.not_due or fold not in self._last:
            self._last[fold] = self._count(snapshot, fold, floor, asked, none=none)
        last = self._last[fold]
        return replace(last, exact=last.exact and self._epochs > 1)

    def _count(
        self, snapshot: Snapshot, fold: Fold, floor: float, asked: Collection[Key], *, none: bool
    ) -> Counted:
        counts: dict[Key, int] = {}
        exact = bool(snapshot.servers) and (none or _exact(snapshot, fold))
        if exact and not none:
            ledger = snapshot.sweeps.ledgers[fold]
            parts = [p for shard in self.others if (p := ledger.part(part_of(shard))) is not None]
            wanted = self.named(fold) | set(asked)
            for key in wanted | {key for key, _ in ledger.above(floor)}:
                counts[key] = ledger[key] - sum(part[key] for part in parts)
        made = Counted(floor=floor, exact=exact, counts=sorted_by_key(counts), asked=list(asked))
        return made.bounded(MOST_COUNTS)

    def share(self, clusters: Collection[str], folds: Mapping[str, Counted]) -> Share:
        """What this shard contributes."""
        return Share(
            shard=self.name,
            others=sorted(self.others),
            clusters=sorted(clusters)[:MOST_CLUSTERS],
            folds=dict(folds),
        )


def part_of(shard: str) -> Names:
    """The name of a shard where others are those of servers, which have a cluster and a name."""
    return (f"shard {shard}",)


def sorted_by_key(counts: Mapping[Key, int]) -> list[tuple[Key, int]]:
    """The counts in an order that does not depend on who was swept first."""
    return sorted(counts.items(), key=lambda item: str(item[0]))


def _exact(snapshot: Snapshot, fold: Fold) -> bool:
    """Whether the connections of all servers of this shard are counted as they are now."""
    lacking, ledger = snapshot.lacking, snapshot.sweeps.ledgers.get(fold)
    if ledger is None or lacking.blind or fold.endpoint in lacking.not_due:
        return False
    owing = any(len(names) > 1 for names in lacking.owed.get(fold.endpoint, ()))
    return not owing and not ledger.error
