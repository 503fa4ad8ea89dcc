"""The agent: connect, lead or stand by, and run epochs until it is stopped."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import socket
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, nullcontext, suppress
from functools import partial

import nats.errors
from msgspec.structs import replace
from nats.aio.msg import Msg

from nats_insights import __version__, subjects
from nats_insights.agent.advisories import Advisories
from nats_insights.agent.answer import Answers
from nats_insights.agent.archive import Archive
from nats_insights.agent.barred import Barred
from nats_insights.agent.election import Deposed, Election
from nats_insights.agent.epoch import cost, epoch
from nats_insights.agent.farewell import finish
from nats_insights.agent.heir import Heir, LastWord
from nats_insights.agent.keeping import catch_up, inherit, keep, resume
from nats_insights.agent.lease import Lease
from nats_insights.agent.peers import Peers
from nats_insights.agent.publisher import Publisher
from nats_insights.agent.shards import Others
from nats_insights.agent.shared_state import MOMENT, SharedState
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
from nats_insights.replies.events import decode_event
from nats_insights.replies.fields import Malformed
from nats_insights.tell import advisory
from nats_insights.tell.messages import AgentInfo, Heartbeat
from nats_insights.tell.settings import changes, digest
from nats_insights.tell.view import View, not_evaluated, verdict
from nats_insights.text import plain

log = logging.getLogger(__name__)

CLIENT_NAME = "nats-insights-agent"
# Log lines about servers in one epoch.
MOST_NEWS = 20
# Log lines about what changed in the configuration.
MOST_CHANGES = 100
# Requested epochs start at least this many seconds apart, or one interval if that is less.
CLOSEST = 1.0
# Seconds from a claim that was in vain to the next one.
CLAIM_AGAIN = 0.5
# Seconds in which an agent that is stopped stores what its successor goes on from, and in which it
# gives back the lease. Its last heartbeat must not wait for a server that does not answer.
HAND_OVER, GIVE_BACK = 1.0, 0.5
_KNOWS_NOTHING = "without the findings of the last leader: what is still true opens again"


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
        shard = self.auditor.shards.name
        peers = Peers(self.instance, shard)
        self.heir = Heir(checks, self.auditor.roster, peers.leads, shard)
        self.election = Election(peers, self._heartbeat, lambda: self._is_warm)
        self.advisories = Advisories(self.auditor, checks)
        self.barred = Barred()
        self._configuration = digest(config, checks)
        self._served = False
        self._client: Client | None = None
        self._counted_at = float("-inf")
        self._due = 0.0
        self._refused: set[str] = set()
        self._lost: tuple[str, int] | None = None
        self._resumed_at = 0
        # Whether it has led since it last stood by, and what it had heard until then.
        self._has_led = False
        self._last_word: LastWord | None = None
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
        beside = nullcontext() if publish is None else self._beside(publish)
        await resume(self.state, self.info(), self.auditor, self.advisories, time.time())
        self._resumed_at = self.auditor.number
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

    @asynccontextmanager
    async def _beside(self, publish: Settings) -> AsyncIterator[None]:
        """Publish on a second connection meanwhile, and lead only with the lease of its account."""
        publisher = self.advisories.outbox = Publisher(publish, CLIENT_NAME)
        publisher.on_connect.append(self._overhear)
        self.answers.publisher, self.answers.archive = publisher, Archive(publisher)
        publisher.may_tell = self._may_tell
        shard = self.auditor.shards.name
        lease = Lease(lambda: publisher.client, shard, self.id, self.instance)
        self.election.use(lease)
        if not self.state.stored:
            self.state = shared = SharedState(lambda: publisher.client, shard)
            publisher.on_connect += [shared.look, self._look_for_state]
        async with publisher.running(), lease.running(self._lives):
            yield

    async def _look_for_state(self, client: Client) -> None:
        if self.state.awaited and self.election.leads:
            self.answers.wanted.set()

    def _may_tell(self) -> bool:
        """Whether what this agent found may be published now."""
        state = self.state
        return self.election.may_tell and not (state.awaited or state.withholds)

    def _lives(self) -> bool:
        """Whether this agent leads and its epochs end in time, on a connection, seeing enough."""
        on, election = self._client, self.election
        there = on is not None and not on.closed.is_set() and not self.auditor.roster.cut_off
        return there and election.leads and election.reign.holds

    def info(self) -> AgentInfo:
        """The identity and the role of this agent now."""
        return AgentInfo(
            id=self.id,
            instance=self.instance,
            version=__version__,
            epoch=self.auditor.number,
            role=self.election.role,
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
        self.election.peers.changed.set()

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
        self._served, self._client = True, client
        await self.election.ready(client)
        gatherer = Gatherer(client, self.config.gather.timeout, self.window, self.within)
        while not client.closed.is_set():
            if not self.election.leads and not await self._take_over(client):
                await self._stand_by(client, gatherer)
                continue
            await self.answers.serve(client, self.info())
            try:
                await self._lead(client, gatherer, access)
            except Deposed as by:
                log.warning("%s: standing by", by)
                self.election.step_down()

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
        await self.election.listen(client)
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
            await self._confirm(client)
            await self._catch_up(client)
            await self._epoch(client, gatherer, access)
            await self._save(client)
            await self._wait(client, self.answers.wanted, self._due - time.monotonic())

    async def _catch_up(self, client: Client) -> None:
        """Read what the last leader saved, if that was not possible before."""
        state = self.state
        while state.shared and not state.keeps:
            heard, now = self._last_word, time.time()
            await catch_up(state, self.info(), self.auditor, self.advisories, heard, now)
            if state.keeps:
                self._last_word = None
            if not state.awaited or client.closed.is_set():
                return
            await self._wait(client, asyncio.Event(), MOMENT)

    async def _save(self, client: Client) -> None:
        """Save what could not be saved, until the next epoch is due: it is not published before."""
        while self.state.withholds and not (client.closed.is_set() or self.answers.wanted.is_set()):
            if (left := self._due - time.monotonic()) <= 0:
                return
            await self._wait(client, self.answers.wanted, min(MOMENT, left))
            await self._keep(self.auditor.now)

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
        self.auditor.unsaved, self.auditor.unleased = self.state.failure, self.election.unleased
        self.auditor.unpublished = self.advisories.outbox.problem
        was_isolated = bool(self.auditor.roster.cut_off)
        told = await epoch(self.auditor, gatherer, time.time(), counts=counts)
        roster = self.auditor.roster
        self.election.apart = roster.apart or bool(roster.cut_off)
        if was_isolated or roster.cut_off:
            self.election.lapse()  # Whoever saw more of the system meanwhile comes first.
        await self._confirm(client)
        dropped = self.advisories.outbox.dropped
        self.cost = replace(cost(self.auditor, gatherer), dropped_advisories=dropped)
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
        self.advisories.add(told, self.info())
        tells = bool(told)
        told.clear()  # There may be tens of thousands: each is free once it is published.
        await self._keep(self.auditor.now)
        if self.state.superseded:
            raise Deposed("another agent has led meanwhile")
        await self.advisories.publish(client, view.tenants, partial(self._confirm, client))
        if tells and not self.advisories.outbox.waiting:
            await self._keep(self.auditor.now)  # Nothing need be published again.
        await asyncio.sleep(0)
        await self._confirm(client)
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
        peers = self.election.peers
        self._forget()
        await self.election.release()
        await self.answers.serve(client, self.info())
        await self.heir.listen(client)
        beat_at, kept_up, leader = float("-inf"), None, peers.leader()
        while not client.closed.is_set() and self.election.left > 0:
            self._follow(gatherer)
            if time.monotonic() - beat_at >= self.config.interval:
                beat_at = time.monotonic()
                await self._keep(time.time())
                await self._heartbeat(client)
                self.systemd.works("standing by", self.auditor.pace.silent_after)
                self._tell_of_peers()
                self._warn(client.lacks)
            peers.changed.clear()
            if leader is not kept_up or kept_up is None:
                kept_up = leader
                await self.heir.keep_up(client, leader)
            rest = beat_at + self.config.interval - time.monotonic()
            await self._wait(client, peers.changed, min(rest, self.election.left))
            leader = peers.leader()
        await self._wait(client, peers.changed, self.election.turn)

    def _forget(self) -> None:
        """What is true, and is to be published, is for the leader to say from now on."""
        self.election.step_down()
        self.state.lay_down()
        self._has_led, self._last_word = False, None
        self.advisories.clear()
        self.answers.view = None
        self.auditor.start_over()

    async def _take_over(self, client: Client) -> bool:
        """Lead if nobody does, and go on from what the last leader told."""
        if self.election.left > 0:
            return False
        if not await self._claim(client):
            # Whoever comes first may take a while to lead, and answers each claim meanwhile.
            await self._wait(client, asyncio.Event(), CLAIM_AGAIN)
            return False
        told = await self._inherit()
        if self.heir.listens:
            self.auditor.postpone(time.time())
            log.info("no other agent leads any more: taking over, %s", told)
        await self.heir.leave()
        self._has_led = True
        return True

    async def _inherit(self) -> str:
        """Go on from what the last leader saved, or from what it told; in words how far."""
        if self._has_led and not self.state.superseded:
            return ""  # It was this one.
        self.advisories.begin()
        self._last_word, now = self.heir.last_word, time.time()
        heard = self._last_word
        if self.state.shared and await inherit(
            self.state, self.info(), self.auditor, self.advisories, heard, now
        ):
            self._resumed_at = self.auditor.number
            return "with what the last leader saved"
        if heard is None:
            return _KNOWS_NOTHING
        self.auditor.adopt(heard.lives, heard.mutes)
        return f"open findings: {len(heard.lives)}"

    async def _keep(self, now: float, *, whole: bool = False) -> None:
        await keep(self.state, self.auditor, self.advisories, self.heir, now, whole=whole)

    async def _claim(self, client: Client) -> bool:
        return await self.election.claim(client, self.config.gather.timeout)

    async def _confirm(self, client: Client) -> None:
        await self.election.confirm(client, self.config.gather.timeout)

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

    def _tell_of_servers(self) -> None:
        """Log which servers joined, stopped answering, came back or left since the last epoch."""
        news = [*self.others.news(), *self.auditor.roster.news()]
        for line in news[:MOST_NEWS]:
            log.info("%s", plain(line))
        if len(news) > MOST_NEWS:
            log.info("and %d more servers changed", len(news) - MOST_NEWS)

    @property
    def _is_warm(self) -> bool:
        """Whether it knows what was told last: what a process has saved may be older."""
        return (
            self.state.readable or self.heir.warm or (bool(self.auditor.lives) and not self._is_new)
        )

    async def _heartbeat(self, client: Client, claims: bool = False) -> Heartbeat:
        auditor, view = self.auditor, self.answers.view
        reign, role = self.election.reign, self.election.role
        leads = role == "leader" and view is not None
        since = reign.since
        term = self.election.term
        name = f"{self.instance} {auditor.number} {role} {since} {claims} {term}"
        self.election.said = heartbeat = Heartbeat(
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
            cost=replace(self.cost, dropped_advisories=self.advisories.outbox.dropped),
            claims=claims,
            warm=self._is_warm,
            lease=term,
            configuration=self._configuration,
        )
        message = advisory.heartbeat_message(heartbeat)
        at = reign.clock()
        await client.publish(message.subject, message.payload, headers=message.headers)
        self.advisories.outbox.beat(message)
        if leads and view and (share := self.auditor.share):
            await self.others.publish(client, view, share, auditor.pace.silent_after)
        if role == "leader" and self.election.holds:
            await self.advisories.outbox.send(client)
        # A frozen server takes heartbeats, too: only what it has read was heard by others.
        with suppress(nats.errors.Error):
            await client.reach(self.config.gather.timeout)
            reign.said(heartbeat.silent_after_seconds, at)
        return heartbeat

    def _tell_of_peers(self) -> None:
        """Log which other agents differ from this one."""
        said = self.election.said
        for line in self.election.peers.differences(said) if said else ():
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
        led = self.election.leads
        if not client.closed.is_set():
            with suppress(nats.errors.Error, OSError):
                if self.election.holds:
                    await self.advisories.outbox.send(client)
                    await self._hand_over()
                self.election.role = "stopped"
                await self._heartbeat(client)
            self.election.step_down()
        if not self._is_new and not self.state.shared:
            await self._keep(self.auditor.now if led else time.time(), whole=True)

    async def _hand_over(self) -> None:
        """Leave the successor all that it needs, and then the lead."""
        with suppress(TimeoutError):
            async with asyncio.timeout(HAND_OVER):
                if isinstance(self.advisories.outbox, Publisher):
                    await self.advisories.outbox.stored(HAND_OVER / 2)
                if self.state.shared and not self._is_new:
                    await self._keep(self.auditor.now, whole=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(GIVE_BACK):
                await self.election.release()
