"""The agent: connect, lead or stand by, and run epochs until it is stopped."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import socket
import time
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext, suppress
from functools import partial

import nats.errors
from msgspec.structs import replace
from nats.aio.msg import Msg

from nats_insights import __version__, subjects
from nats_insights.agent.answer import Answers
from nats_insights.agent.barred import Barred
from nats_insights.agent.epoch import cost, epoch
from nats_insights.agent.farewell import finish
from nats_insights.agent.heir import Heir
from nats_insights.agent.kept import Kept, Untold
from nats_insights.agent.peers import Peers, leads, rank
from nats_insights.agent.publish import Outbox
from nats_insights.agent.publisher import Publisher
from nats_insights.agent.reign import Reign
from nats_insights.agent.shards import Others
from nats_insights.agent.state import State
from nats_insights.agent.systemd import Systemd, in_a_line
from nats_insights.config import Config
from nats_insights.connection.client import Client
from nats_insights.connection.connect import clients
from nats_insights.connection.contexts import Settings
from nats_insights.errors import ConnectError
from nats_insights.facts import Access, Cost
from nats_insights.gather.access import PERMISSIONS, recognise
from nats_insights.gather.closed import why_closed
from nats_insights.gather.small import Gatherer
from nats_insights.gather.stepwise import stepwise
from nats_insights.gather.window import Window
from nats_insights.gather.within import EVERYWHERE, Within
from nats_insights.judge.auditor import Auditor
from nats_insights.judge.declare import Check
from nats_insights.judge.lifecycle import Told
from nats_insights.judge.restart import Retired, retired, taken_up
from nats_insights.replies.events import decode_event
from nats_insights.replies.fields import Malformed
from nats_insights.tell import advisory, tenants
from nats_insights.tell.messages import AgentInfo, Heartbeat, Role
from nats_insights.tell.settings import changes, digest
from nats_insights.tell.view import View, not_evaluated, verdict
from nats_insights.text import plain

log = logging.getLogger(__name__)

CLIENT_NAME = "nats-insights-agent"
# Transitions that are published at a time, and log lines about servers in one epoch.
AT_A_TIME = 100
MOST_NEWS = 20
# Log lines about what changed in the configuration.
MOST_CHANGES = 100
# Requested epochs start at least this many seconds apart, or one interval if that is less.
CLOSEST = 1.0
_KNOWS_NOTHING = "without the findings of the last leader: what is still true opens again"
# Seconds between the claims of two agents that stand by, so that mostly only the first one claims.
APART = 0.3


class Deposed(Exception):
    """Another agent leads, or this one was silent for so long that one may."""


class Agent:
    """One agent on one system. `run` ends only by an error, or when its task is cancelled."""

    def __init__(self, checks: Sequence[Check], config: Config, state: State | None = None) -> None:
        self.config = config
        self.state = state or State()
        self.instance = uuid.uuid4().hex
        self.id = config.id or "-".join(filter(None, (socket.gethostname(), config.shard.title)))
        self.auditor = Auditor(checks, config, self.id)
        self.window = Window(config.gather.window)
        self.within = Within(config.shard.clusters) if config.shard.clusters else EVERYWHERE
        self.cost = Cost()
        self.others = Others(self.auditor.shards)
        self.answers = Answers(self.auditor, self.others)
        self.peers = Peers(self.instance, self.auditor.shards.name)
        shard = self.auditor.shards.name
        self.heir = Heir(checks, self.auditor.roster, self.peers.leads, shard)
        self.outbox: Outbox | Publisher = Outbox()
        self.barred = Barred()
        self.reign = Reign()
        self.role: Role = "standby"
        self._configuration = digest(config, checks)
        self._said: Heartbeat | None = None
        self._served = False
        self._counted_at = float("-inf")
        self._due = 0.0
        self._refused: set[str] = set()
        self._lost: tuple[str, int] | None = None
        self._by_code: dict[str, Check | Retired] = {check.code: check for check in checks}
        self._untold: deque[Untold] = deque()
        self._resumed_at = 0
        # A program that runs only the agent collects garbage here, when no request waits.
        self.after_epoch: Callable[[], None] = lambda: None
        # A program that is a service of systemd puts that of its environment here.
        self.systemd = Systemd({})

    async def run(self, settings: Settings, publish: Settings | None = None) -> None:
        """Run epochs; ConnectError if the system cannot be reached at the start.

        Where there are settings to `publish`, all of `$INSIGHTS.>` goes to that connection; other
        agents hear heartbeats on the first one too.
        StateError if there is a state that it cannot go on from.
        """
        beside: AbstractAsyncContextManager[None] = nullcontext()
        if publish is not None:
            self.outbox = Publisher(publish, CLIENT_NAME)
            self.outbox.on_connect.append(self._overhear)
            beside = self.outbox.running()
        await self._resume()
        self.auditor.postpone(time.time())
        connections = clients(settings, name=CLIENT_NAME, tried=self.systemd.tries)
        async with beside, aclosing(connections):
            async for client in connections:
                try:
                    await self._serve(client)
                except ConnectError as error:
                    if not self._served:
                        raise
                    log.warning("%s", error)
                except nats.errors.Error as error:
                    log.warning("the connection was lost: %s", error)
                finally:
                    self._lost = (client.server_id, client.cid)
                    await finish(self._leave(client))

    def info(self) -> AgentInfo:
        """The identity and the role of this agent now."""
        return AgentInfo(
            id=self.id,
            instance=self.instance,
            version=__version__,
            epoch=self.auditor.number,
            role=self.role,
            shard=self.auditor.shards.name,
        )

    def reload(self, config: Config) -> None:
        """Go on with another configuration that was found right, and log what changed.

        It is in force from the next epoch on, which starts at once.
        """
        news = changes(self.config, config, self.auditor.checks)
        if not news:
            log.info("the configuration was reloaded: nothing changed")
            return
        for line in news[:MOST_CHANGES]:
            log.info("the configuration was reloaded: %s", line)
        if len(news) > MOST_CHANGES:
            log.info("and %d more keys changed", len(news) - MOST_CHANGES)
        self.config = config
        self.answers.wanted.set()
        self.peers.changed.set()

    def _follow(self, gatherer: Gatherer) -> None:
        """Pass on a configuration that was reloaded since the last epoch."""
        if self.auditor.config is self.config:
            return
        self.auditor.reload(self.config)
        self._configuration = digest(self.config, self.auditor.checks)
        gatherer.asker.timeout = self.config.gather.timeout
        self.window.resize(self.config.gather.window)
        self._due = self._counted_at + self.auditor.pace.interval

    async def _serve(self, client: Client) -> None:
        # Later a warning must do: a reload of the servers may bring the permissions back.
        access = await recognise(client, reports=not self._served)
        if access.mode == "system":
            self.auditor.system_accounts |= {access.account}
        await self._listen(client)
        self._served = True
        gatherer = Gatherer(client, self.config.gather.timeout, self.window, self.within)
        while not client.closed.is_set():
            if self.role != "leader" and not await self._take_over(client):
                await self._stand_by(client, gatherer)
                continue
            await self.answers.serve(client, self.info())
            try:
                await self._lead(client, gatherer, access)
            except Deposed as by:
                log.warning("%s: standing by", by)
                self.role = "standby"

    async def _listen(self, client: Client) -> None:
        roster = self.auditor.roster

        async def hear(message: Msg) -> None:
            kind = message.subject.rpartition(".")[2]
            with suppress(Malformed):
                info = decode_event(message.data)
                roster.goodbye(info.id, time.time(), gone=kind == "SHUTDOWN")

        for subject in subjects.EVENTS:
            await client.subscribe(subject, cb=hear)
        roster.listens_since = time.time()
        self.peers.on_claim = partial(self._object, client)
        await self.peers.listen(client)
        await self.others.listen(client)

    async def _overhear(self, client: Client) -> None:
        """Hear on the second connection what the leader tells, while standing by."""

        async def hear(message: Msg) -> None:
            if self.heir.listens:
                await self.heir.hear(message)

        await client.subscribe(subjects.OF_AGENTS[0], cb=hear)

    async def _lead(self, client: Client, gatherer: Gatherer, access: Access) -> None:
        await self._learn(gatherer)
        while not client.closed.is_set():
            await self._still_leads(client)
            await self._epoch(client, gatherer, access)
            await self._wait(client, self.answers.wanted, self._due - time.monotonic())

    async def _still_leads(self, client: Client) -> None:
        """Deposed if another agent leads; one that was silent for too long looks first."""
        if self.reign.holds:
            other = self._said and self.peers.before(self._said)
            if other is None:
                return
            raise Deposed(f"agent {plain(other.agent.id)} leads, and comes first")
        log.debug("another agent may lead by now")
        self.role = "standby"
        self.reign.end()
        if not await self._claim(client):
            raise Deposed("another agent leads by now")

    async def _learn(self, gatherer: Gatherer) -> None:
        """Ask the server why it closed our last connection: the window may be too large."""
        lost, self._lost = self._lost, None
        if lost is None:
            return
        server_id, connection = lost
        reason = await why_closed(gatherer, server_id, connection)
        if reason.startswith("Slow Consumer"):
            entry = self.auditor.roster.by_id(server_id)
            server = entry.name if entry else server_id
            self.auditor.cut_off(server)
            self.window.halve()
            log.warning(
                "%s cut the agent off because it read too slowly (%s): it now asks for at most "
                "%d KiB at a time",
                plain(server),
                plain(reason),
                self.window.size // 1024,
            )

    async def _epoch(self, client: Client, gatherer: Gatherer, access: Access) -> None:
        self._follow(gatherer)
        if self.config.tenants.accounts:
            await self.answers.serve_tenants()
        started = time.monotonic()
        counts = started - self._counted_at >= self.config.interval / 2
        self.answers.begin()
        self.auditor.unsaved, self.auditor.unpublished = self.state.failure, self.outbox.problem
        was_isolated = bool(self.auditor.roster.cut_off)
        told = await epoch(self.auditor, gatherer, time.time(), counts=counts)
        if was_isolated or self.auditor.roster.cut_off:
            self.reign.lapse()  # Whoever saw more of the system meanwhile comes first.
        await self._still_leads(client)
        self._count(gatherer)
        self._warn(client.lacks)
        if counts:
            self._counted_at = started
            self._due = started + self._pace(time.monotonic() - started)
        # Before anything is published: a query right after an advisory must return its finding.
        view = View.of(self.auditor, self.info(), access, self.cost, client.max_payload)
        view.shards = self.others.states()
        # Whoever is stopped meanwhile still says what this epoch found.
        await finish(self._conclude(told, view, client))
        self.systemd.works(in_a_line(view), self.auditor.pace.silent_after)
        await asyncio.sleep(0)
        self.after_epoch()
        await asyncio.sleep(0)
        if self.answers.wanted.is_set():
            closest = min(CLOSEST, self.config.interval) - (time.monotonic() - started)
            await self._wait(client, asyncio.Event(), closest)

    async def _conclude(self, told: list[Told], view: View, client: Client) -> None:
        """Answer from this epoch, keep what it found, and publish it."""
        await asyncio.sleep(0)
        self.answers.view = view
        await asyncio.sleep(0)
        self._tell_of_servers()
        await stepwise(self.barred.look(view.tenants, self.auditor.snapshot.accounts.keys()))
        self._tell_of_peers()
        self._untold.extend(self._batches(told))
        tells = bool(told)
        told.clear()  # There may be tens of thousands: each is free once it is published.
        await self._keep(self.auditor.now)
        await self._publish(client)
        if tells and not self.outbox.waiting:
            await self._keep(self.auditor.now)  # Nothing need be published again.
        await asyncio.sleep(0)
        await self._heartbeat(client)
        await self.answers.end()

    def _pace(self, took: float) -> float:
        """Seconds from the start of this epoch to the next; logs if epochs become late or rarer."""
        pace = self.auditor.pace
        was_late, was_stretched = pace.late, pace.stretched
        due = pace.ended(took, self.cost)
        if pace.late and not was_late:
            log.warning(
                "epoch %d took %.1f s of an interval of %g s: %d skipped",
                self.auditor.number,
                took,
                pace.interval,
                pace.skipped,
            )
        if pace.stretched and not was_stretched:
            log.warning(
                "epochs come %.1f s apart instead of %g s, to stay within the budget of [gather]",
                pace.interval,
                pace.wanted,
            )
        return due

    async def _stand_by(self, client: Client, gatherer: Gatherer) -> None:
        """Keep up with the leader until there is none, and this agent is the next one."""
        self._step_down()
        await self.answers.serve(client, self.info())
        await self.heir.listen(client)
        beat_at, kept_up, leader = float("-inf"), None, self.peers.leader()
        while not client.closed.is_set() and self.peers.left(warm=self._is_warm) > 0:
            self._follow(gatherer)
            if time.monotonic() - beat_at >= self.config.interval:
                beat_at = time.monotonic()
                await self._keep(time.time())
                await self._heartbeat(client)
                self.systemd.works("standing by", self.auditor.pace.silent_after)
                self._tell_of_peers()
                self._warn(client.lacks)
            self.peers.changed.clear()
            if leader is not kept_up or kept_up is None:
                kept_up = leader
                await self.heir.keep_up(client, leader)
            rest = beat_at + self.config.interval - time.monotonic()
            await self._wait(
                client, self.peers.changed, min(rest, self.peers.left(warm=self._is_warm))
            )
            leader = self.peers.leader()
        if self._said is not None:
            await self._wait(client, self.peers.changed, APART * self.peers.place(self._said))

    def _step_down(self) -> None:
        """What this agent knows, and has not published yet, is that of the leader's from now on."""
        self.role = "standby"
        self.reign.end()
        self._untold.clear()
        self.outbox.clear()
        self.answers.view = None
        self.auditor.start_over()

    async def _take_over(self, client: Client) -> bool:
        """Lead if nobody does, and go on from what the last leader told."""
        if self.peers.left(warm=self._is_warm) > 0 or not await self._claim(client):
            return False
        if self.heir.warm:
            self.auditor.adopt(self.heir.lives, self.heir.mutes)
        if self.heir.listens:
            self.auditor.postpone(time.time())
            known = f"with {len(self.heir.lives)} open findings"
            told = known if self.heir.warm else _KNOWS_NOTHING
            log.info("no other agent leads any more: taking over, %s", told)
        await self.heir.leave()
        return True

    async def _claim(self, client: Client) -> bool:
        """Whether this agent leads from now on: nobody objects, and nobody who claims comes first.

        Claims cross while they are on their way, so each agent listens before it leads.
        """
        claim = await self._heartbeat(client, claims=True)
        patience = claim.silent_after_seconds
        if not (other := await self.peers.ask(client, patience)):
            # All that the server has received by now is read before its reply.
            await client.request(subjects.USER_INFO, timeout=self.config.gather.timeout)
            before = self.peers.before(claim)
            other = before.agent.id if before is not None else ""
        if other:
            log.info("agent %s comes first: standing by", plain(other))
            return False
        self.role = "leader"
        self.reign.begin(time.time())
        return True

    async def _object(self, client: Client, claim: Heartbeat) -> None:
        """Repeat our last heartbeat to an agent that claims and ranks behind it.

        Such an agent may have started after our claim, or while nobody answers its ping and yet
        there are others that know more.
        """
        said = self._said
        if said is None or rank(claim) <= rank(said) or (leads(said) and not self.reign.holds):
            return
        message = advisory.heartbeat_message(said)
        with suppress(nats.errors.Error):
            await client.publish(message.subject, message.payload, headers=message.headers)

    async def _wait(self, client: Client, event: asyncio.Event, seconds: float) -> None:
        """Wait for the event or the end of the connection, at most `seconds`."""
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # nats-py, and wait_for of Python 3.11, sometimes swallow a cancellation.
            raise asyncio.CancelledError
        waits = [asyncio.create_task(one.wait()) for one in (event, client.closed)]
        try:
            await asyncio.wait(waits, timeout=max(0.0, seconds), return_when="FIRST_COMPLETED")
        finally:
            for wait in waits:
                wait.cancel()

    @property
    def _is_new(self) -> bool:
        """Whether this process has begun no epoch yet."""
        return self.auditor.number == self._resumed_at

    async def _resume(self) -> None:
        """Go on from what the last process left, if anything."""
        left = await self.state.load(self.id)
        if left is None:
            return
        now = time.time()
        known, over = taken_up(
            left.kept.known,
            self._by_code,
            now=now,
            away=now - left.saved_at,
            silent_after=self.auditor.pace.silent_after,
            # As long as advisories are valid, subscribers believe them.
            forget_after=max(self.config.lifecycle.forget_after, self.auditor.valid_for),
        )
        self.auditor.restore(known, now)
        self.auditor.transitions.add(
            [told for told in over if told.life.key.code in self._by_code], now
        )
        self._resumed_at = self.auditor.number
        for one in left.kept.checks:
            self._by_code.setdefault(one.code, one)
        for message in left.kept.waiting:
            self.outbox.put(message)
        self._untold.extend([*left.kept.untold, *self._batches(over)])
        opened = sum(life.is_open for life in known.lives)
        log.info("going on with %d open findings, saved %.0f s ago", opened, now - left.saved_at)

    async def _keep(self, now: float, *, whole: bool = False) -> None:
        """Save what another process needs to go on from here, as of the Unix second `now`."""
        if not self.state.keeps:
            return
        known = self.auditor.known_now
        if self.heir.warm:  # What the leader told may be all that is known of it some day.
            known = replace(known, lives=self.heir.lives, mutes=list(self.heir.mutes))
        codes = {life.key.code for life in known.lives}
        codes |= {told.life.key.code for untold in self._untold for told in untold.told}
        checks = [retired(self._by_code[code]) for code in sorted(codes)]
        waiting = list(self.outbox.waiting)
        kept = Kept(known=known, checks=checks, untold=list(self._untold), waiting=waiting)
        await self.state.save(self.auditor, kept, now, whole=whole)

    def _batches(self, told: Sequence[Told]) -> list[Untold]:
        return [
            Untold(
                agent=self.info(),
                coverage=self.auditor.snapshot.coverage,
                valid_for=self.auditor.valid_for,
                told=list(told[start : start + AT_A_TIME]),
            )
            for start in range(0, len(told), AT_A_TIME)
        ]

    async def _publish(self, client: Client) -> None:
        """Publish in parts: there may be tens of thousands, and the outbox is bounded."""
        arrived = True
        while self._untold:
            if not self.reign.holds:
                await self._still_leads(client)
            batch = self._untold.popleft()
            for told in batch.told:
                try:
                    self._put(told, batch, client)
                except Exception as error:  # One failure must not stop the others.
                    self.auditor.note(error)
            await asyncio.sleep(0)
            arrived = arrived and await self.outbox.send(client)

    def _put(self, told: Told, batch: Untold, client: Client) -> None:
        said, messages = tenants.advisories(
            told,
            self._by_code[told.life.key.code],
            batch.agent,
            batch.coverage,
            batch.valid_for,
            self.answers.view.tenants if self.answers.view else tenants.NOBODY,
            min(client.max_payload, self.outbox.max_payload),
        )
        for message in messages:
            self.outbox.put(message)
        why = f" ({told.reason})" if told.transition == "resolved" else ""
        log.info("%s %s %s%s: %s", told.transition, said.severity, said.code, why, said.summary)

    def _tell_of_servers(self) -> None:
        """Log which servers joined, stopped answering, came back or left since the last epoch."""
        news = [*self.others.news(), *self.auditor.roster.news()]
        for line in news[:MOST_NEWS]:
            log.info("%s", plain(line))
        if len(news) > MOST_NEWS:
            log.info("and %d more servers changed", len(news) - MOST_NEWS)

    def _count(self, gatherer: Gatherer) -> None:
        """What the epoch cost."""
        spent = cost(self.auditor, gatherer)
        self.cost = replace(spent, dropped_advisories=self.outbox.dropped)

    @property
    def _is_warm(self) -> bool:
        """Whether it knows what was told last: what a process has saved may be older."""
        return self.heir.warm or (bool(self.auditor.lives) and not self._is_new)

    async def _heartbeat(self, client: Client, *, claims: bool = False) -> Heartbeat:
        auditor, view = self.auditor, self.answers.view
        leads = self.role == "leader" and view is not None
        since = self.reign.since
        name = f"{self.instance} {auditor.number} {self.role} {since} {claims}"
        self._said = heartbeat = Heartbeat(
            id=hashlib.sha256(name.encode()).hexdigest()[:32],
            timestamp=advisory.at(time.time()),
            agent=self.info(),
            coverage=advisory.brief(auditor.snapshot.coverage),
            verdict=verdict(view) if leads and view else "unknown",
            checks_not_evaluated=not_evaluated(view) if leads and view else 0,
            interval_seconds=auditor.pace.interval,
            silent_after_seconds=auditor.pace.silent_after,
            epochs_skipped=auditor.pace.skipped,
            leading_since=None if since is None else advisory.at(since),
            open=advisory.counts(auditor.lives.values()),
            muted=advisory.counts(auditor.lives.values(), muted=True),
            mutes=len(auditor.mutes),
            cost=replace(self.cost, dropped_advisories=self.outbox.dropped),
            claims=claims,
            warm=self._is_warm,
            configuration=self._configuration,
        )
        message = advisory.heartbeat_message(heartbeat)
        at = self.reign.clock()
        await client.publish(message.subject, message.payload, headers=message.headers)
        self.outbox.beat(message)
        if leads and view and (share := self.auditor.share):
            await self.others.publish(client, view, share, auditor.pace.silent_after)
        if self.role == "leader":
            await self.outbox.send(client)
        # A frozen server takes heartbeats, too: only what it has read was heard by others.
        with suppress(nats.errors.Error):
            await client.reach(self.config.gather.timeout)
            self.reign.said(heartbeat.silent_after_seconds, at)
        return heartbeat

    def _tell_of_peers(self) -> None:
        """Log which other agents differ from this one."""
        for line in self.peers.differences(self._said) if self._said else ():
            log.warning("%s", line)

    def _warn(self, denied: set[str]) -> None:
        """Log missing permissions: a message that the server refuses has no other trace."""
        if new := sorted(denied - self._refused):
            hint = "" if self._refused else f"; {PERMISSIONS}"
            log.warning("the user lacks the permission for %s%s", ", ".join(new), hint)
        self._refused |= denied

    async def _leave(self, client: Client) -> None:
        """Publish what waits and a last heartbeat, so that a standby takes over at once."""
        await self.answers.stop()
        led = self.role == "leader"
        if not client.closed.is_set():
            with suppress(nats.errors.Error, OSError):
                if self.reign.holds:
                    await self.outbox.send(client)
                self.role = "stopped"
                await self._heartbeat(client)
            self.role = "standby"
            self.reign.end()
        if not self._is_new:
            await self._keep(self.auditor.now if led else time.time(), whole=True)
