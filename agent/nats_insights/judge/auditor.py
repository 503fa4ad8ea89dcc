"""The auditor: the state from epoch to epoch, and what to publish of each epoch. No NATS here.

    begin           start an epoch: returns what to request from which servers
    hear            add the small replies
    due             the servers whose connections to read
    take            add the counts of the connections of one server
    due_streams     the servers whose streams to read
    take_streams    add the streams of one server
    due_services    the accounts and servers whose services to read
    take_services   add the services of one account on one server
    due_accounts    the accounts to read, and of which servers
    take_account    add what a server reported of an account
    due_names       the users whose names to read
    take_name       add the name of a user
    judge           returns what to publish

The agent, `check`, the tests and replays of recordings all use these steps.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from nats_insights.config import Config
from nats_insights.errors import Missing, place
from nats_insights.facts import Coverage, Expiry, Names
from nats_insights.judge.audit import Audit, Key, Outcome, audit
from nats_insights.judge.clients import Look
from nats_insights.judge.correlate import correlate
from nats_insights.judge.declare import Check, Params
from nats_insights.judge.lifecycle import Life, Told, advance
from nats_insights.judge.mutes import Mute, Mutes
from nats_insights.judge.naming import unnamed
from nats_insights.judge.pace import Pace
from nats_insights.judge.plan import due, every, plan, to_survey
from nats_insights.judge.rules import rules
from nats_insights.judge.shards import contributions, floors, read
from nats_insights.judge.transitions import Transitions
from nats_insights.model import loaded, streams
from nats_insights.model.build import build
from nats_insights.model.fold import SURVEY, Fold, Sweep, row_fields
from nats_insights.model.history import History, Remembered
from nats_insights.model.jwt_names import JwtNames
from nats_insights.model.loaded import Loaded
from nats_insights.model.missed import Missed
from nats_insights.model.nouns.agent import Agent
from nats_insights.model.nouns.system import System
from nats_insights.model.roster import Entry, Roster
from nats_insights.model.services import Seen, Services
from nats_insights.model.shards import Shards, Share
from nats_insights.model.snapshot import Snapshot
from nats_insights.model.sweeps import Sweeps
from nats_insights.replies.accountz import ACCOUNTZ_DETAIL, AccountzDetail
from nats_insights.replies.connz import CONNZ, CONNZ_SERVICES, Host
from nats_insights.replies.endpoint import Endpoint
from nats_insights.replies.heard import AccountOn, Expected, Heard, Target
from nats_insights.replies.jsz import JSZ_STREAMS, AccountDetail
from nats_insights.replies.statz import STATZ
from nats_insights.replies.varz import VARZ

# What is requested once in RARE seconds or less often can wait for FIRST_RARE seconds at the start.
RARE, FIRST_RARE = 3600.0, 600.0
# Of more servers than this the rest is requested in turns.
MANY = 100
# Figures that are recorded between two yields.
_AT_A_STEP = 64


class Asking(Struct, frozen=True, kw_only=True):
    """What an epoch requests: small replies of all servers, and which should answer."""

    endpoints: frozenset[Endpoint[Any]]
    expected: Expected


class Known(Struct, kw_only=True):
    """The state from epoch to epoch, as plain data that can be stored as JSON.

    The counts of connections and the accounts are not part of it: they are all read again.
    `asked_at` has the time of the last request to each of the other endpoints, in Unix seconds by
    their keys. `looked` has the outcome of each check when it was last due, by its code. After
    `known_since`, in Unix seconds, no transition is missing.
    """

    number: int
    asked_at: dict[str, float]
    roster: list[Entry]
    forgotten: list[Names]
    system_accounts: list[str]
    lives: list[Life]
    cut_offs: list[tuple[int, str]]
    failures: list[tuple[int, str]]
    history: Remembered = field(default_factory=Remembered)
    services: list[tuple[Names, Seen]] = []
    transitions: list[Told] = []
    known_since: float | None = None
    mutes: list[Mute] = []
    looked: dict[str, Outcome] = {}


class Auditor:
    """The state of one agent about one system; `id` is the agent's name.

    `failed` counts the epochs that ended by an error in the program, `failures` are the last ones;
    `swept` is the number of servers whose connections were read in this epoch. `window` is the
    size of the agent's window in bytes; a check may find it too small. `expiries`, `unusable`,
    `dangers` and `restricted` are facts about the agent's own credentials and user. `unsaved` says
    why its state could not be saved, "" if it was, `unpublished` what is wrong with its second
    connection, and `unleased` why it cannot use the lease.
    """

    def __init__(self, checks: Sequence[Check], config: Config, id: str = "") -> None:
        self.checks = list(checks)
        self.roster = Roster()
        self.pace = Pace(config.interval, config.gather)
        self.shards = Shards(config.shard)
        self.share: Share | None = None
        self._follow(config)
        self.system_accounts: frozenset[str] = frozenset()
        self.id = id or config.id
        self.number = 0
        self.now = 0.0
        self.window = 0
        self.expiries: Sequence[Expiry] = ()
        self.unusable = ""
        self.dangers: Sequence[str] = ()
        self.restricted = False
        self.unsaved = self.unpublished = self.unleased = ""
        self.swept = 0
        self.snapshot = Snapshot(0.0)
        self.audit = Audit()
        self.failed = 0
        self.failures: deque[tuple[int, str]] = deque(maxlen=Agent.MEMORY)
        self._ruled_out: Mapping[str, set[str]] = {}
        self._due: frozenset[Endpoint[Any]] = frozenset()
        self._owing: Counter[Names] = Counter()
        self._asked_at: dict[Endpoint[Any], float] = {}
        # The number of epochs since some were postponed, None where nothing was.
        self._turn: int | None = None
        self.start_over()

    def postpone(self, now: float) -> None:
        """Leave what is not requested in each epoch to later ones: the first is long enough.

        What is requested rarely, because it is expensive, waits longest, and all else for the
        second epoch, or for one after another where there are many servers.
        """
        self._turn = 0
        for endpoint, seconds in self.every.items():
            if seconds >= RARE:
                asked_at = self._asked_at.get(endpoint, float("-inf"))
                self._asked_at[endpoint] = max(asked_at, now - seconds + FIRST_RARE)

    def start_over(self) -> None:
        """Reset to the state at the start: another agent now publishes the findings."""
        self.sweeps = Sweeps(self.plan.folds)
        self.history = History(self.plan.pasts)
        self.jwt_names = JwtNames()
        self.loaded = Loaded()
        self.lives: dict[Key, Life] = {}
        self.transitions = Transitions()
        self.mutes = Mutes()
        self.cut_offs: deque[tuple[int, str]] = deque(maxlen=Agent.MEMORY)
        self.raised: dict[str, tuple[int, str]] = {}
        self.missed = Missed()
        self._looked: dict[str, Outcome] = {}
        self.services = Services()
        self.shards.start_over()

    def _follow(self, config: Config) -> None:
        made = rules(self.checks, config)
        self._floors = floors(made, self.shards)
        planned = plan(read(made, self.shards))
        self.every = every(planned.endpoints, config)
        self.config, self.rules, self.plan = config, made, planned
        self._readers = {
            endpoint.key: [rule.check.name for rule in made if endpoint.key in rule.check.needs]
            for endpoint in planned.endpoints
        }
        self.roster.forget_after = config.lifecycle.forget_after
        self.roster.gone_after = config.lifecycle.gone_after

    def reload(self, config: Config) -> None:
        """Go on with another configuration, between two epochs; ConfigError if it is wrong.

        All that is known is kept. Only the counts of connections are read again, in the next epoch,
        if others are needed than before.
        """
        folds, valid_for = self.plan.folds, self.valid_for
        self._follow(config)
        if (config.interval, config.gather) != (self.pace.wanted, self.pace.budget):
            self.pace.follow(config.interval, config.gather)
        self.history.keep(self.plan.pasts)
        asked_at = self._asked_at.items()
        # An endpoint that is needed again is due at once.
        self._asked_at = {one: at for one, at in asked_at if one in self.plan.endpoints}
        if self.plan.folds.items() <= folds.items():
            self.sweeps.keep(self.plan.folds)
        else:
            self.sweeps = Sweeps(self.plan.folds)
            self._asked_at.pop(CONNZ, None)
            self._asked_at.pop(SURVEY, None)
        if self.valid_for / 2 > valid_for:
            # What was published would expire before its next reminder.
            self.lives = {key: replace(life, told_at=0.0) for key, life in self.lives.items()}

    @property
    def known(self) -> Known:
        """What another process needs to continue from here."""
        services = list(self.services.seen.items())
        return replace(self.known_now, history=self.history.plain(), services=services)

    @property
    def known_now(self) -> Known:
        """The same without what was remembered of earlier epochs, which may be large."""
        return Known(
            number=self.number,
            asked_at={one.key: at for one, at in self._asked_at.items() if not one.paged},
            roster=list(self.roster),
            forgotten=sorted(self.roster.forgotten),
            system_accounts=sorted(self.system_accounts),
            lives=list(self.lives.values()),
            cut_offs=list(self.cut_offs),
            failures=list(self.failures),
            transitions=list(self.transitions),
            known_since=self.transitions.since,
            mutes=list(self.mutes),
            looked=dict(self._looked),
        )

    def restore(self, known: Known, now: float) -> None:
        """Continue from the state of another process, at `now` in Unix seconds."""
        self.start_over()
        self.number = known.number
        by_key = {endpoint.key: endpoint for endpoint in self.plan.endpoints}
        self._asked_at = {by_key[key]: at for key, at in known.asked_at.items() if key in by_key}
        self.roster.restore(known.roster)
        self.roster.forgotten |= set(known.forgotten)
        self.system_accounts = frozenset(known.system_accounts)
        self.lives = {life.key: life for life in known.lives}
        self.transitions = Transitions(known.transitions, known.known_since)
        self.mutes = Mutes(known.mutes)
        self._looked = known.looked
        self.cut_offs.extend(known.cut_offs)
        self.failures.extend(known.failures)
        self.history.restore(known.history, now)
        self.services.seen = dict(known.services)
        for life in known.lives:
            self.jwt_names.restore(life.key.names, life.entity)

    def adopt(self, lives: Iterable[Life], mutes: Iterable[Mute] = ()) -> None:
        """Go on with the open findings and the mutes that another agent told; all else is anew.

        The roster must have the servers of that agent: one that is not known is taken for gone.
        """
        self.start_over()
        self.lives = {life.key: life for life in lives}
        self.mutes = Mutes(mutes)
        for life in self.lives.values():
            self.jwt_names.restore(life.key.names, life.entity)

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """The result of each check in the last epoch, by its code."""
        return self.audit.outcomes

    @property
    def valid_for(self) -> float:
        """Seconds that an advisory is valid: two reminders, and the wait for an epoch."""
        longest = max(self.pace.interval, *self.every.values())
        return 2 * (self.config.lifecycle.remind_every + longest)

    @property
    def dropped(self) -> int:
        """The number of names beyond a bound, which are not counted."""
        lacking = self.snapshot.lacking
        return self.roster.overflow + self.sweeps.dropped + lacking.dropped_accounts

    def begin(self, now: float) -> Asking:
        """Start an epoch, at `now` in Unix seconds."""
        self.number += 1
        self.now = now
        self._ruled_out = {}
        self.swept = 0
        self.snapshot.clear()
        self.history.forget(now)
        self.jwt_names.begin()
        due = frozenset(filter(self._is_due, self.plan.endpoints))
        self._due = due.difference(self._left_to_later(due))
        return Asking(endpoints=self._due, expected=self.roster.expected())

    def hear(self, heard: Heard) -> Generator[None, None, None]:
        """Add the small replies, and the servers that did not answer."""
        self.roster.take(heard, self.now)
        yield
        told = {varz.system_account for varz in heard.replies[VARZ.key].values()}
        self.system_accounts |= told
        self.sweeps.begin({entry.key for entry in self.roster if entry.belongs})
        self.snapshot = yield from build(
            self.roster,
            heard,
            self.sweeps,
            now=self.now,
            system_accounts=self.system_accounts,
            expect=self.config.expect,
        )
        self.snapshot.history = self.history
        self.snapshot.services = self.services
        self.snapshot.jwt_names = self.jwt_names
        self.snapshot.loaded = self.loaded
        self.snapshot.shards = self.shards
        self.shards.begin(self.now, self.snapshot.clusters)
        yield from self.jwt_names.hear(self.snapshot.servers.values())
        lacking = self.snapshot.lacking
        if not lacking.blind:  # What was asked in vain is due again.
            self._asked_at |= dict.fromkeys(self._due, self.now)
        late = self.plan.endpoints - self._due
        lacking.not_due = {endpoint.key for endpoint in late if not endpoint.kept}
        for endpoint in self._due:
            if endpoint.paged and not endpoint.kept:
                lacking.owed[endpoint.key] = lacking.absent | self.snapshot.servers.keys()
            self._excuse_old(endpoint)
        without = self.config.access.without
        lacking.accepted = {one.key for one in self.plan.endpoints if one.name in without}
        for worst, params in self.plan.worst.items():
            yield from worst.choose(self.snapshot, params)
        self._unresponsive = heard.unresponsive
        if ACCOUNTZ_DETAIL in self._due and not lacking.blind:
            whole = not lacking.owed[STATZ.key]
            yield from self.loaded.plan(self.snapshot.servers.values(), complete=whole)
        self._look_at_itself(self.snapshot.agent)

    def due(self) -> Generator[None, None, list[Target]]:
        """The servers whose connections must be read; no rows are missing of the others."""
        snapshot, lacking = self.snapshot, self.snapshot.lacking
        if lacking.blind:
            return []
        all_of_them = self.config.gather.sweep == "all"
        wanted: set[Names] = set()
        if CONNZ in self._due:
            if not all_of_them:
                found = yield from due(snapshot, read(self.rules, self.shards), self.lives)
                wanted, self._ruled_out = found.servers, found.ruled_out
            else:
                wanted = set(snapshot.servers)
            lacking.owed[CONNZ.key] = lacking.absent | wanted
        if self._surveys:
            more = set(snapshot.servers) if all_of_them else to_survey(snapshot, self.plan.folds)
            lacking.owed[SURVEY.key] = lacking.absent | more
            wanted |= more
        targets = []
        # Cluster by cluster: servers of a cluster share clients, whose names are counted faster.
        for names, server in snapshot.servers.items():
            if names not in wanted or server.id in self._unresponsive:
                continue
            with suppress(Missing):
                varz = server.varz
                rows = varz.connections + varz.leafnodes
                targets.append(Target(server.names, server.id, rows, varz.may_have_leafnodes))
        return targets

    @property
    def _surveys(self) -> bool:
        return SURVEY in self._due

    @property
    def folds(self) -> dict[Fold, Params]:
        """What is counted of connections in this epoch: all, but for slow folds without a survey.

        What a survey reads is counted for all folds: it is true for them too.
        """
        folds = self.plan.folds.items()
        return {fold: params for fold, params in folds if self._surveys or not fold.slow}

    @property
    def fields(self) -> list[str]:
        """The fields of connection rows that are counted."""
        return row_fields(self.folds)

    def sweep(self) -> Sweep:
        """A new counter for the connections of one server."""
        return Sweep(self.folds, self.system_accounts)

    def take(self, names: Names, sweep: Sweep) -> Generator[None, None, None]:
        """Add the counts of the connections of one server; only one at a time."""
        self.swept += 1
        yield from self.snapshot.take(names, sweep)

    def due_streams(self) -> list[Target]:
        """The servers whose streams to read; those without JetStream have none."""
        lacking, targets = self.snapshot.lacking, []
        if JSZ_STREAMS not in self._due or lacking.blind:
            return []
        for server in self.snapshot.servers.values():
            with suppress(Missing):
                jetstream = server.varz.jetstream
                if jetstream is None or jetstream.config is None:
                    lacking.came(JSZ_STREAMS.key, server.names)
                elif server.id not in self._unresponsive:
                    accounts = jetstream.stats.accounts if jetstream.stats else 0
                    targets.append(Target(server.names, server.id, accounts))
        return targets

    def take_streams(
        self, names: Names, details: Iterable[AccountDetail]
    ) -> Generator[None, None, None]:
        """Add the streams and consumers of one server."""
        snapshot = self.snapshot
        details = list(details)
        for account in details:  # Servers before 2.11 name accounts in no other reply.
            self.jwt_names.take_account(account.id, account.name)
        yield from streams.take(snapshot.streams, names, details)
        snapshot.lacking.came(JSZ_STREAMS.key, names)

    def due_services(self) -> Generator[None, None, list[AccountOn]]:
        """The accounts whose services to read, each on one server."""
        lacking, snapshot = self.snapshot.lacking, self.snapshot
        if CONNZ_SERVICES not in self._due or lacking.blind:
            return []
        found = yield from self.services.due(snapshot, self.system_accounts)
        wanted = [on for on in found if on.id not in self._unresponsive]
        self._owing = Counter(on.key for on in wanted)
        for names in snapshot.servers.keys() - {on.key for on in found}:
            lacking.came(CONNZ_SERVICES.key, names)
        return wanted

    def take_services(self, on: AccountOn, rows: Iterable[Host]) -> None:
        """Add the services of one account on one server."""
        if not self.services.take(on, rows):
            return  # As if it had not replied.
        self._owing[on.key] -= 1
        if not self._owing[on.key]:
            self.snapshot.lacking.came(CONNZ_SERVICES.key, on.key)

    @property
    def may_be_denied(self) -> set[str]:
        """The endpoints of which it is known only after `hear` whether they are permitted."""
        paged = {endpoint.key for endpoint in self.plan.endpoints if endpoint.paged}
        return paged - self.snapshot.lacking.not_due

    def due_accounts(self) -> list[AccountOn]:
        """The accounts to read in this epoch."""
        every = self.every.get(ACCOUNTZ_DETAIL)
        if every is None or self.snapshot.lacking.blind:
            return []
        wanted = self.loaded.next(self.config.interval / every if every else 1.0)
        return [one for one in wanted if one.id not in self._unresponsive]

    def take_account(self, on: AccountOn, told: AccountzDetail) -> None:
        """Add what a server reported of an account."""
        if (detail := told.account_detail) is None:
            return
        if detail.decoded_jwt is not None:  # Servers before 2.11 name accounts in few replies.
            self.jwt_names.take_account(on.account, detail.decoded_jwt.name)
        read = loaded.read(detail, on.key, self.now, told.system_account)
        self.loaded.take(loaded.key_of(on.account, on.key), read)

    def due_names(self) -> Generator[None, None, list[Look]]:
        """The rows to read for the names of users; none where connections were not counted."""
        counted = CONNZ in self._due or self._surveys
        if not counted or self.snapshot.lacking.blind:
            return []
        return (yield from unnamed(self.snapshot, self.rules, self.lives, self.jwt_names))

    def take_name(self, look: Look, name: str) -> None:
        """Add the name of a user, "" if its server hides it."""
        self.jwt_names.take_user((look.account, look.user), name)

    def fail(self, error: Exception) -> None:
        """Record an error in the program: everything is unknown in this epoch."""
        self.note(error)
        last, self.snapshot = self.snapshot.agent, Snapshot(self.now, self.sweeps)
        names = [entry.name for entry in self.roster.known()]
        self.snapshot.coverage = Coverage(
            servers_known=len(names), servers_answered=0, missing=sorted(names)
        )
        self.snapshot.lacking.blind = f"the epoch failed: {place(error)}"
        own = self.snapshot.agent
        own.unreachable, own.known = last.unreachable, last.known
        self._look_at_itself(own)

    def note(self, error: Exception) -> None:
        """Count and keep an error in the program."""
        self.failed += 1
        self.failures.append((self.number, place(error)))

    def judge(
        self, *, counts: bool = True, settle: float | None = None
    ) -> Generator[None, None, list[Told]]:
        """What to publish of this epoch. With `counts` False nothing opens or resolves."""
        lifecycle = self.config.lifecycle
        settle = lifecycle.settle if settle is None else settle
        snapshot = self.snapshot
        snapshot.lacking.dropped_names = self.sweeps.dropped
        if self.jwt_names.changed:
            self.jwt_names.changed = False
            for rule in self.rules:
                rule.known.clear()  # Overrides may match by name.
        if CONNZ_SERVICES in self._due and not snapshot.lacking.blind:
            yield from self.services.end()
        if self.shards.judges and not snapshot.lacking.blind:
            self.shards.merge(snapshot, self._floors)
        raised = yield from self._remember()
        audited = yield from audit(
            snapshot, self.rules, self.lives, settle, self._ruled_out, self._looked
        )
        audited.raised |= raised
        yield from correlate(audited, self._whole, self.lives)
        lives, told = yield from advance(
            self.lives,
            audited,
            self.rules,
            self.now,
            remind_every=lifecycle.remind_every,
            counts=counts,
        )
        self.audit, self.lives = audited, lives
        if not snapshot.lacking.blind:
            self._looked = audited.outcomes
        self._remember_trouble(audited.raised, counts=counts)
        told = yield from self.mutes.mark(lives, told, self.now)
        self.transitions.add(told, self.now)
        self._contribute()
        return told

    @property
    def _whole(self) -> System:
        """What findings with one cause are about: the system, or this shard of it."""
        if not self.shards.divided:
            return self.snapshot.system
        shard = System(self.snapshot)
        shard.names = (*shard.names, self.shards.name)
        return shard

    def _contribute(self) -> None:
        """What the other shards need of this one."""
        if self.shards.divided:
            own = (self.snapshot, self.rules, self._floors, self.lives, self._ruled_out)
            self.share = self.shards.share(self.snapshot.clusters, contributions(*own))

    def name_clients(self, clients: Mapping[Key, dict[str, Any]], told: list[Told]) -> list[Told]:
        """The clients behind some findings, to be published with them."""
        for key, named in clients.items():
            self.lives[key] = replace(self.lives[key], clients=named)
        return [
            replace(item, life=self.lives[item.life.key])
            if item.life.key in clients and item.transition != "resolved"
            else item
            for item in told
        ]

    def cut_off(self, server: str) -> None:
        """A server disconnected the agent as a slow consumer: too much was requested at a time."""
        self.cut_offs.append((self.number, server))

    def _excuse_old(self, endpoint: Endpoint[Any]) -> None:
        """Do not expect the endpoint from servers whose version does not have it."""
        if not endpoint.since:
            return
        for server in self.snapshot.servers.values():
            with suppress(Missing):
                if not endpoint.known_to(server.version):
                    self.snapshot.lacking.came(endpoint.key, server.names)

    def _is_due(self, endpoint: Endpoint[Any]) -> bool:
        """Whether it is due, within half an interval, or the clock was set back."""
        since = self.now - self._asked_at.get(endpoint, float("-inf"))
        return not 0 <= since < self.every[endpoint] - self.config.interval / 2

    def _left_to_later(self, due: Iterable[Endpoint[Any]]) -> Sequence[Endpoint[Any]]:
        """What is due and was never requested, and waits for its turn in a later epoch."""
        if self._turn is None:
            return ()
        interval = self.config.interval
        tiers = [(self.every[one], one.key, one) for one in due if not one.kept]
        new = sorted(tier for tier in tiers if tier[0] > interval and tier[2] not in self._asked_at)
        at_a_time = 1 if len(self.roster) > MANY else len(new)
        requested = at_a_time if self._turn else 0
        self._turn += 1
        return [one for _, _, one in new[requested:]]

    def _remember(self) -> Generator[None, None, dict[str, str]]:
        """Record the figures of this epoch that checks compare; returns the errors of figures."""
        raised: dict[str, str] = {}
        if self.snapshot.lacking.blind:
            return raised
        for past in self.plan.pasts:
            for number, noun in enumerate(past.about.all(self.snapshot)):
                if number % _AT_A_STEP == 0:
                    yield
                try:
                    self.history.record(past, noun.names, past.figure(noun), self.now)
                except Missing:
                    continue
                except Exception as error:  # Only this noun is unknown.
                    raised[past.name] = place(error)
        return raised

    def _remember_trouble(self, raised: Mapping[str, str], *, counts: bool) -> None:
        """What the next epoch tells of this one: checks that raised, and replies that it lacks."""
        names = {check.code: check.name for check in self.checks}
        for code, where in raised.items():  # Figures of the past have a name and no code.
            self.raised[names.get(code, code)] = (self.number, where)
        if counts and not self.snapshot.lacking.blind:
            self.missed.hear(self.snapshot, [endpoint.key for endpoint in self._due])

    def _look_at_itself(self, agent: Agent) -> None:
        agent.names = (self.id,)
        agent.cut_offs = [
            server for number, server in self.cut_offs if self.number - number <= agent.MEMORY
        ]
        agent.failures = [
            where for number, where in self.failures if self.number - number <= agent.MEMORY
        ]
        agent.raised = {
            name: where
            for name, (number, where) in sorted(self.raised.items())
            if self.number - number <= agent.MEMORY
        }
        agent.missed, agent.hidden_clusters = self.missed.told(), self.missed.hidden_clusters
        agent.readers = self._readers
        agent.expiries, agent.unusable = self.expiries, self.unusable
        agent.dangers, agent.restricted = self.dangers, self.restricted
        agent.unsaved, agent.unpublished = self.unsaved, self.unpublished
        agent.unleased = self.unleased
        agent.window = self.window
        agent.late, agent.took = self.pace.late, self.pace.took
        agent.interval = self.pace.interval
