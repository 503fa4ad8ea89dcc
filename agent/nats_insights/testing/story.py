"""An agent without a connection: it gets a system in each epoch, and returns its transitions.

Everything after the replies is the agent's own code: roster, snapshot, rules, audit, lifecycle.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable
from copy import deepcopy
from datetime import UTC, datetime
from functools import cache
from math import inf
from typing import Any

from msgspec.structs import replace

from nats_insights.config import Config, parse
from nats_insights.gather.stepwise import at_once
from nats_insights.judge.audit import Audit, Key
from nats_insights.judge.auditor import Asking, Auditor
from nats_insights.judge.declare import Check
from nats_insights.judge.lifecycle import Life, Told
from nats_insights.model.fold import SURVEY
from nats_insights.model.snapshot import Snapshot
from nats_insights.replies.accountz import ACCOUNTZ_DETAIL, AccountzDetail
from nats_insights.replies.connz import CONNZ, CONNZ_SERVICES
from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.heard import Expected, Heard, Silence
from nats_insights.replies.jsz import JSZ_STREAMS
from nats_insights.testing.systems import START, Epochs, Replying, System


class Story:
    """An agent without a connection: `hears` runs an epoch on a system, and returns transitions.

    It requests only what its checks need: without checks only the list of servers. `told` holds
    the transitions of the last epoch.
    """

    def __init__(
        self, config: str = "", checks: Iterable[Check] = (), *, settle: float = 0.0
    ) -> None:
        self.auditor = Auditor(tuple(checks), _parsed(config))
        self.auditor.roster.listens_since = -inf
        self.settle = settle
        self.now = START
        self.told: list[Told] = []
        self.swept = 0  # Servers whose connections were read in the last epoch.

    @property
    def lives(self) -> dict[Key, Life]:
        """Findings, pending and open."""
        return self.auditor.lives

    @property
    def snapshot(self) -> Snapshot:
        """The system at the last epoch."""
        return self.auditor.snapshot

    @property
    def audit(self) -> Audit:
        """The audit of the last epoch."""
        return self.auditor.audit

    @property
    def found(self) -> set[str]:
        """The findings of the last epoch, as the names of each entity in one string."""
        return {_words(key) for key in self.audit.found}

    def hears(
        self,
        given: System | Epochs,
        lost: Collection[tuple[str, str]] = (),
        *,
        denied: Collection[str] = (),
        after: float = 30.0,
        counts: bool = True,
    ) -> list[str]:
        """Run one epoch, `after` seconds later, without the `lost` replies: (server, endpoint).

        The user has no permission for the endpoints in `denied`. For several epochs `after` is the
        time before the first, and the transitions of all are returned.
        """
        if isinstance(given, Epochs):
            said = []
            for system in given.systems:
                said += self.hears(system, lost, denied=denied, after=after, counts=counts)
                after = given.every
            return said
        return self._epoch(given, lost, denied, after, counts)

    def _epoch(
        self,
        system: System,
        lost: Collection[tuple[str, str]],
        denied: Collection[str],
        after: float,
        counts: bool,
    ) -> list[str]:
        auditor = self.auditor
        self.now += after
        if system.expect:
            auditor.config = replace(auditor.config, expect=system.expect)
        self._goodbye(system)
        asking = auditor.begin(self.now)
        heard, paged = _hear(system, asking, frozenset(lost), set(denied), self.now)
        at_once(auditor.hear(heard))
        for target in at_once(auditor.due()):
            if (page := (paged[CONNZ] | paged[SURVEY]).get(target.id)) is not None:
                sweep = auditor.sweep()
                sweep.page(page)
                if sweep.exact:
                    at_once(auditor.take(target.key, sweep))
        for target in auditor.due_streams():
            if (told := paged[JSZ_STREAMS].get(target.id)) is not None:
                # `take_streams` changes it, and the system may be used again.
                details = deepcopy(told.account_details or ())
                at_once(auditor.take_streams(target.key, details))
        services = {one.info.id: one.services for one in system.servers}
        for on in at_once(auditor.due_services()):
            if on.id in paged[CONNZ_SERVICES]:
                auditor.take_services(on, services[on.id].get(on.account, ()))
        details = _details(system, lost, denied)
        for on in auditor.due_accounts():
            if (said := details.get(on.id, {}).get(on.account)) is not None:
                auditor.take_account(on, said)
        auditor.snapshot.lacking.denied |= auditor.may_be_denied & set(denied)
        names = {one.info.id: one.names for one in system.servers}
        for look in at_once(auditor.due_names()):
            if (name := names[look.server_id].get(look.user)) is not None:
                auditor.take_name(look, name)
        self.swept = auditor.swept
        auditor.snapshot.agent.names = ("me",)
        for figure, value in system.agent.items():
            setattr(auditor.snapshot.agent, figure, value)
        self.told = at_once(auditor.judge(counts=counts, settle=self.settle))
        return [f"{told.transition} {told.life.key.code} {_words(told.life)}" for told in self.told]

    def _goodbye(self, system: System) -> None:
        """Add the events of servers that leave or will leave."""
        roster = self.auditor.roster
        for one in system.servers:
            said = "shutdown" if one.state == "left" else one.goodbye
            entry = roster.meet(one.info, self.now) if said else None
            if entry is not None and not entry.goodbye:
                roster.goodbye(one.info.id, self.now, gone=said == "shutdown")


def found(check: Check, given: System | Epochs, config: str = "") -> set[str]:
    """The findings of one check in the last epoch, as the names of each entity in one string."""
    story = Story(config, [check])
    story.hears(given)
    return story.found


def finding(check: Check, given: System | Epochs, config: str = "") -> Any:
    """The only finding of one check in the last epoch."""
    story = Story(config, [check])
    story.hears(given)
    (only,) = story.audit.found.values()
    return replace(only.finding, evidence=json.loads(bytes(only.evidence)))


@cache
def _parsed(config: str) -> Config:
    return parse(config)


def _hear(
    system: System,
    asking: Asking,
    lost: frozenset[tuple[str, str]],
    denied: set[str],
    now: float,
) -> tuple[Heard, dict[Endpoint[Any], dict[str, Any]]]:
    """The small replies that a gatherer would receive, and the paged ones by server id."""
    silent = {name for name, endpoint in lost if endpoint == "VARZ"}
    servers = [
        replace(one, state="hung") if one.info.name in silent else one for one in system.servers
    ]
    asked = {endpoint.key for endpoint in asking.endpoints}
    small = {endpoint.key for endpoint in asking.endpoints if not endpoint.paged}
    heard = Heard(small, _id_of(system.own, servers))
    heard.denied = denied & asked
    paged: dict[Endpoint[Any], dict[str, Any]] = defaultdict(dict)
    for one in servers:
        if one.state != "answering":
            continue
        time = datetime.fromtimestamp(now + one.clock, UTC)
        heard.infos[one.info.id] = replace(one.info, time=time)
        for endpoint in asking.endpoints:
            if endpoint.key in denied or (one.info.name, endpoint.key) in lost:
                continue
            if not endpoint.known_to(one.info.ver):
                continue
            if endpoint.kept:
                continue
            if endpoint.paged:
                paged[endpoint][one.info.id] = one.reply(endpoint)
            else:
                heard.add(endpoint.key, one.info.id, one.reply(endpoint))
    _fall_silent(heard, servers, asking.expected)
    return heard, paged


def _details(
    system: System, lost: Collection[tuple[str, str]], denied: Collection[str]
) -> dict[str, dict[str, AccountzDetail]]:
    """What each server would tell of its accounts, by its id and the name of the account."""
    key = ACCOUNTZ_DETAIL.key
    return {
        one.info.id: one.accounts
        for one in system.servers
        if one.state == "answering" and key not in denied and (one.info.name, key) not in lost
    }


def _fall_silent(heard: Heard, servers: Iterable[Replying], expected: Expected) -> None:
    """Mark the servers that do not answer: hung, dead, left, or not in this system any more."""
    states = {one.info.id: one.state for one in servers}
    for one in servers:
        if one.state != "answering" and one.info.id not in expected.keys:
            heard.named[one.info.id] = one.info
    for server_id in expected.missing(heard.infos) | heard.named.keys():
        hangs = states.get(server_id) == "hung"
        heard.silent[server_id] = Silence("hung" if hangs else "dead", "")


def _id_of(name: str, servers: Iterable[Replying]) -> str:
    return next((one.info.id for one in servers if one.info.name == name), "")


def _words(of: Key | Life) -> str:
    key = of if isinstance(of, Key) else of.key
    return " ".join(name for name in key.names if name)
