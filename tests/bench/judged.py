"""What is judged without a network: small checks, what they see, and the program's own loop.

All that the measurement of judging knows of the program's inside is in here.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Struct

from nats_insights.check import (
    STATZ,
    VARZ,
    WARNING,
    Account,
    Check,
    Finding,
    Params,
    Server,
    check,
    limit,
)
from nats_insights.gather.stepwise import emptied, stepwise
from nats_insights.judge.audit import Audit, audit
from nats_insights.judge.lifecycle import advance
from nats_insights.testing import Server as Held
from nats_insights.testing import Story, cluster, system

PEERS = 10


class Limits(Params, frozen=True):
    warning_percent: Annotated[
        float, limit("%", clear=0.94, gt=0, le=100, description="of max_connections")
    ] = 80.0


class Least(Params, frozen=True):
    connections: Annotated[
        int, limit("connections", ge=0, description="that make an account a finding")
    ] = 1


def small_check(number: int) -> Check:
    """A check of one figure of VARZ, as most are."""

    def nearly_full(server: Server, params: Limits) -> Finding | None:
        """A server has nearly as many connections as it accepts.

        Finds: it.

        Why: to measure.

        Do: nothing.
        """
        most = server.varz.max_connections
        if most <= 0:
            return None
        percent = 100 * server.varz.connections / most
        if percent < params.warning_percent:
            return None
        return Finding(value=percent, unit="%", summary=f"{server.name} is nearly full")

    nearly_full.__name__ = f"nearly_full_{number}"
    return check(f"BENCH_{number:03}", WARNING, "saturation", needs=(VARZ,))(nearly_full)


@check("BENCH_901", WARNING, "saturation", needs=(STATZ,), rules_out=lambda of, params: False)
def there(account: Account, params: Least) -> Finding | None:
    """An account has connections.

    Finds: it.

    Why: to measure findings by the hundred thousand.

    Do: nothing.
    """
    if account.connections < params.connections:
        return None
    return Finding(
        value=account.connections,
        threshold=params.connections,
        unit="connections",
        summary=f"{account.name} has {account.connections:,} connections",
        evidence={"connections": account.connections},
    )


class Scene(Struct, frozen=True):
    """Checks, and an epoch of a system for them to judge; `subjects` are nouns that tell all."""

    story: Story
    checks: list[Check]
    subjects: list[Any]

    def judge_alone(self) -> None:
        """Every check on each noun: called, and nothing else."""
        for one in self.checks:
            judge, params = one.judge, one.params()
            for subject in self.subjects:
                judge(subject, params)

    async def judge(self) -> Audit:
        """The same as the program does it in an epoch."""
        return await stepwise(
            audit(self.story.snapshot, self.story.auditor.rules, self.story.lives, 0.0)
        )

    async def judge_and_remember(self) -> int:
        """The same, and what becomes of findings before they are told; how many these are."""
        story, found = self.story, await self.judge()
        every = story.auditor.config.lifecycle.remind_every
        _, told = await stepwise(
            advance(story.lives, found, story.auditor.rules, story.now, remind_every=every)
        )
        await stepwise(emptied(found.found))
        return len(told)


def quiet(checks: int, servers: int, *, overridden: bool = False, silent: float = 0.0) -> Scene:
    """Servers of which these checks find nothing, in clusters of ten.

    With `overridden` each check has a limit of its own in one cluster; `silent` is the share of
    servers that answered before and do not now.
    """
    some = [small_check(number) for number in range(checks)]
    lines = [
        f'[[override]]\nmatch = {{ cluster = "C{number % (servers // PEERS)}" }}\n'
        f"{one.name} = {{ warning_percent = 90 }}"
        for number, one in enumerate(some)
    ]
    story = Story("\n".join(lines) if overridden else "", some)
    held = Held(10, max_connections=100)
    whole = system(
        *(
            cluster(f"C{number}", **{f"n{number}-{peer}": held for peer in range(PEERS)})
            for number in range(servers // PEERS)
        )
    )
    story.hears(whole)
    if silent:
        names = [one.info.name for one in whole.servers[:: round(1 / silent)]]
        story.hears(whole, [(name, "VARZ") for name in names])
    late = story.snapshot.lacking.owed["VARZ"]
    servers_in = [one for one in story.snapshot.servers.values() if one.names not in late]
    return Scene(story, some, servers_in)


def crowded(accounts: int) -> Scene:
    """An account for each of so many connections, each a finding."""
    story = Story(checks=[there])
    users = {f"account-{number} user": 1 for number in range(accounts)}
    story.hears(system(cluster(n1=Held(users=users))))
    story.auditor.lives = {}
    return Scene(story, [there], list(story.snapshot.each(Account)))
