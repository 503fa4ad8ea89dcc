"""Which replies an epoch lacks, and what is therefore unknown."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

from nats_insights.errors import Missing
from nats_insights.facts import Names
from nats_insights.model.nouns.noun import ALL_SERVERS, ITS_CLUSTER, ITS_SERVER

if TYPE_CHECKING:
    from nats_insights.model.nouns.noun import Noun

T = TypeVar("T")
_TOO_MANY_ACCOUNTS = "STATZ in full: there are more accounts than the agent counts"
_TOO_MANY_NAMES = "CONNZ in full: there are more names than the agent counts"


class Lacking:
    """Which replies an epoch lacks.

    `owed` maps the name of an endpoint to the servers whose reply is missing; `absent` are servers
    without any reply that are no longer members of their clusters. `denied` are endpoints that the
    agent has no permission to request, `accepted` those where that is on purpose, `not_due` those
    that are requested in other epochs. `blind` says why nothing is known of the system in this
    epoch, "" if something is. `hidden` maps an endpoint to a server that may have more rows than
    were requested. `dropped_accounts` counts accounts, `dropped_names` keys of folds, beyond their
    bounds.
    """

    def __init__(self, servers_of: Callable[[str], set[Names]]) -> None:
        self.owed: dict[str, set[Names]] = defaultdict(set)
        self.absent: set[Names] = set()
        self.denied: set[str] = set()
        self.accepted: set[str] = set()
        self.not_due: set[str] = set()
        self.blind = ""
        self.hidden: dict[str, str] = {}
        self.dropped_accounts = self.dropped_names = 0
        self._servers_of = servers_of
        self._one_of: dict[str, str] = {}
        self._said: dict[str, dict[Names, str]] = {}

    @property
    def too_many_accounts(self) -> str:
        """Why not every account is counted, "" if each is."""
        return _TOO_MANY_ACCOUNTS if self.dropped_accounts else ""

    def came(self, endpoint: str, server: Names) -> None:
        """The reply of this server has arrived."""
        self.owed[endpoint].discard(server)
        self._one_of.pop(endpoint, None)

    def by_server(self, endpoint: str) -> Mapping[Names, str]:
        """What is to be said of each server that owes it; made once for all checks of an epoch."""
        owed = self.owed.get(endpoint, ())
        said = self._said.get(endpoint)
        if said is None or len(said) != len(owed):
            said = {names: f"{endpoint} of {names[-1]}" for names in owed}
            self._said[endpoint] = said
        return said

    def whole(self, endpoint: str, figure: T) -> T:
        """The given sum over all servers, or Missing if the reply of one of them is missing."""
        if self.owed.get(endpoint):
            raise Missing(endpoint, self._one_that_owes(endpoint))
        return figure

    def of_system(self, endpoints: Iterable[str], *, here: bool = False) -> str:
        """One missing reply of these endpoints, "" if there is none; only of this shard if `here`.

        What other shards owe has one name, theirs, in place of a cluster and a server.
        """
        for endpoint in endpoints:
            owed = self.owed.get(endpoint, ())
            if any(len(names) > 1 for names in owed) if here else owed:
                return f"{endpoint} of {self._one_that_owes(endpoint)}"
            if endpoint == "STATZ" and self.dropped_accounts:
                return _TOO_MANY_ACCOUNTS
            if endpoint in ("CONNZ", "CONNZ_SURVEY") and self.dropped_names:
                return _TOO_MANY_NAMES
        return ""

    def more(self, endpoints: Iterable[str]) -> str:
        """Why there may be more rows than were reported, "" if all were reported."""
        for endpoint in endpoints:
            if endpoint in self.hidden:
                return f"{endpoint} in full of {self.hidden[endpoint]}"
        return ""

    def of(self, kind: type[Noun], home: str, rests_on: Names, endpoints: Iterable[str]) -> str:
        """Why the absence of a finding about such a noun proves nothing; "" if it proves it."""
        if kind.depends_on == ALL_SERVERS:
            return self.of_system(endpoints)
        for endpoint in endpoints:
            late = self.owed.get(endpoint)
            if not late:
                continue
            # A noun that is in no cluster may still be on a single server.
            if kind.depends_on in (ITS_SERVER, ITS_CLUSTER) and rests_on in late:
                return f"{endpoint} of {rests_on[-1]}"
            if kind.depends_on == ITS_CLUSTER and (hit := late & self._members(home)):
                return f"{endpoint} of {min(hit)[-1]}"
        return ""

    def _members(self, home: str) -> set[Names]:
        """The servers of a cluster, absent ones included."""
        return self._servers_of(home) | {names for names in self.absent if names[0] == home}

    def _one_that_owes(self, endpoint: str) -> str:
        # Cached: it may be named for each of a million users.
        if endpoint not in self._one_of:
            self._one_of[endpoint] = min(self.owed[endpoint])[-1]
        return self._one_of[endpoint]
