"""An auditor that looks at a simulated fleet over real servers, and what it makes of it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from math import inf

import nats.errors

from kit.fleet.asker import login
from nats_insights.agent.epoch import cost, epoch
from nats_insights.config import parse
from nats_insights.connection.client import Client
from nats_insights.connection.connect import connect
from nats_insights.connection.contexts import Settings
from nats_insights.facts import Cost, Coverage
from nats_insights.gather.access import recognise
from nats_insights.gather.small import Gatherer
from nats_insights.gather.window import Window
from nats_insights.gather.within import EVERYWHERE, Within
from nats_insights.judge.auditor import Auditor
from nats_insights.judge.declare import Check
from nats_insights.lab.fleet.model import SYSTEM_ACCOUNT, Connection, Fleet, Server, User
from nats_insights.lab.fleet.serve import Service, serve
from nats_insights.lab.fleet.truth import Fact
from nats_insights.lab.servers import local
from nats_insights.model.fold import by_user, local_subscriptions
from scenario import FOUNDING

# The checks that the truth knows of; others have nothing to say here.
CHECKS = {check.code: check for check in FOUNDING.values()}
# Seconds for a reply where none is lost: a test on a busy machine is no reason to lose one.
PATIENT = 20.0
# The same where a server ended, for whose reply an epoch waits in vain.
BRIEF = 0.4
# Part of the names of accounts, users and programs that nobody may read in a log.
SECRET = "tell-nobody"
# Configuration to ask all servers for their connections in each epoch.
SWEEP_ALL = "gather = { sweep = 'all' }\n"

Users = Counter[tuple[str, str]]


class Watch:
    """An auditor and the simulated servers that it looks at, beside the real ones."""

    def __init__(
        self,
        service: Service,
        client: Client,
        account: str,
        config: str,
        checks: Iterable[Check] = CHECKS.values(),
    ) -> None:
        self.service = service
        self.client = client
        self.account = account
        self.auditor = Auditor(list(checks), parse(config))
        self.auditor.system_accounts |= {account}
        self.auditor.roster.listens_since = -inf  # `goodbye` tells it all that it would hear.
        self._now = 0.0
        self.wait(PATIENT)

    def beside(self, config: str) -> Watch:
        """Another auditor on the same connection, which has not looked yet."""
        return Watch(self.service, self.client, self.account, config)

    def wait(self, timeout: float) -> None:
        """From now on it waits so many seconds for each reply."""
        self._patience = timeout
        config = self.auditor.config
        within = Within(config.shard.clusters) if config.shard.clusters else EVERYWHERE
        self.gatherer = Gatherer(self.client, timeout, Window(config.gather.window), within)

    def share_clock(self) -> None:
        """From now on the simulated servers live by the clock of the auditor."""
        self._now = time.time() - self.auditor.config.interval
        self.service.fleet.clock = lambda: self._now

    async def epochs(self, count: int = 1) -> list[tuple[str, Fact]]:
        """So many epochs, one after another: each transition that they tell, and of what."""
        told = []
        for _ in range(count):
            # An interval apart, as far as the auditor knows.
            self._now = max(self._now + self.auditor.config.interval, time.time())
            restarted = self._restart_who_is_due()
            self.gatherer.asker.timeout = BRIEF if restarted else self._patience
            told += await epoch(self.auditor, self.gatherer, self._now, settle=0)
        return [(one.transition, _fact(*one.life.key)) for one in told]

    def _restart_who_is_due(self) -> bool:
        """The auditor hears only of what is announced, as its agent would tell it. The real servers
        forget who ended at once, else each epoch would wait for one reply more than there are."""
        due = self.service.fleet.due()
        for _, server, announced in due:
            self.service.announce(server, "SHUTDOWN")
            if announced:
                self.auditor.roster.goodbye(server.id, self._now, gone=True)
            self.service.fleet.restart(server, announced)
        return bool(due)

    @property
    def open(self) -> set[Fact]:
        """What is open, named as `truth` does."""
        return {_fact(*key) for key, life in self.auditor.lives.items() if life.is_open}

    @property
    def cost(self) -> Cost:
        """What the last epoch cost."""
        return cost(self.auditor, self.gatherer)

    @property
    def coverage(self) -> Coverage:
        """Who answered in the last epoch."""
        return self.auditor.snapshot.coverage

    @property
    def malformed(self) -> int:
        """How many replies and rows of the last epoch could not be read."""
        return self.cost.malformed

    @property
    def users(self) -> Users:
        """Connections of each user, as far as they are known."""
        return Counter(self.auditor.snapshot.seen(by_user))

    @property
    def subscriptions(self) -> int:
        """Local subscriptions of all clients, as far as they are known."""
        return self.auditor.snapshot.seen(local_subscriptions)["subscriptions"]

    def owing(self, endpoint: str) -> set[str]:
        """Names of the servers whose figures of this endpoint are unknown."""
        return {names[-1] for names in self.auditor.snapshot.lacking.owed.get(endpoint, ())}


@asynccontextmanager
async def auditing(
    fleet: Fleet,
    host: local.Server,
    near: local.Server | None = None,
    config: str = "",
    checks: Iterable[Check] = CHECKS.values(),
) -> AsyncIterator[Watch]:
    """An auditor that has not looked yet; connected to `near`, if that is another server."""
    near = near or host
    async with serve(fleet, host.url, **login(host)) as service:
        settings = Settings(servers=(near.url,), **login(near))
        client = await connect(settings, name="auditor")
        try:
            account = (await recognise(client)).account
            await _within_reach(client)
            yield Watch(service, client, account, config, checks)
        finally:
            await client.close()


async def _within_reach(client: Client) -> None:
    """Waits until another server has heard, over its route, of the simulated ones."""
    async with asyncio.timeout(PATIENT):
        while True:
            try:
                await client.request("FLEET.SIZE", timeout=1)
                return
            except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
                continue


def sick_and_well() -> Fleet:
    """All that is found rests on `a`; of C2 nothing is found, but would be if `d` held nothing."""
    fleet = Fleet({"C1": ["a", "b", "c"], "C2": ["d", "e", "f"], "C3": ["g", "h"]})
    spread = {"a": 45, "b": 5, "c": 5, "d": 45, "e": 40, "f": 5, "g": 30, "h": 30}
    for name, count in spread.items():
        leaking = name in "agh"
        account = f"{SECRET}-{'leak' if leaking else fleet.server(name).cluster.name}"
        user = User(account=account, name=f"{account}-{'' if leaking else name}", program=SECRET)
        fleet.open(fleet.server(name), user, count, subscriptions=4)
    fleet.server("a").max_connections = 50
    return fleet


def held(fleet: Fleet) -> Users:
    """Connections of each user, counted one by one; those of the system account are nobody's."""
    return Counter((row.user.account, row.user.name) for row in _clients(fleet))


def subscribed(fleet: Fleet) -> int:
    """Local subscriptions of all these clients."""
    return sum(row.subscriptions for row in _clients(fleet))


def reconnect(fleet: Fleet, servers: Iterable[Server]) -> None:
    """On each server one client goes and comes back: counters move, and all stays true."""
    for server in servers:
        cid, user, subscriptions = next(row for row in fleet.connections(server) if _ours(row))
        fleet.close(server, cid)
        fleet.open(server, user, subscriptions=subscriptions)


def _clients(fleet: Fleet) -> list[Connection]:
    return [row for server in fleet.running for row in fleet.connections(server) if _ours(row)]


def _ours(row: Connection) -> bool:
    return row.user.kind != "leaf" and row.user.account != SYSTEM_ACCOUNT


def _fact(code: str, names: tuple[str, ...]) -> Fact:
    return (code, names[::-1]) if code == "OPT_BALANCE_006" else (code, names)
