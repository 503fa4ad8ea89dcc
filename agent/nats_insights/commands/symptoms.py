"""Steps of `doctor` about what works today and will not last, or works for some only."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator

from nats.aio.msg import Msg

from nats_insights import subjects
from nats_insights.checks.agent.agent_credential_expiry import agent_credential_expiry
from nats_insights.config import Config
from nats_insights.connection.client import Client
from nats_insights.connection.connect import user_info
from nats_insights.gather.access import may
from nats_insights.gather.asking import Asker
from nats_insights.model.snapshot import Snapshot
from nats_insights.replies.fields import Malformed, told
from nats_insights.replies.statz import STATZ, AccountStat
from nats_insights.replies.unpack import unpack
from nats_insights.replies.varz import VARZ
from nats_insights.tell.tenants import Tenants, barring

Step = tuple[str, str, str]
_LISTEN = 0.5
# Accounts and servers that are named.
_NAMED = 10
_AN_ADVISORY = subjects.tenant_advisory("account", "INFO", "CODE", "fingerprint")


async def credentials(client: Client) -> AsyncIterator[Step]:
    """Whether the credentials expire soon, by the rule of the check about it."""
    agent = Snapshot(time.time()).agent
    agent.expiries = client.expiries()
    found = agent_credential_expiry.judge(agent, agent_credential_expiry.params())
    if found is not None:
        yield "warning", "credentials", found.summary
    elif agent.expiries:
        days = min(one.ends for one in agent.expiries) - agent.now
        yield "ok", "credentials", f"they expire in {days / 86_400:.0f} days"


async def duplicates(client: Client) -> AsyncIterator[Step]:
    """Whether each server answers a request once."""
    heard: Counter[tuple[str, str]] = Counter()

    async def hear(message: Msg) -> None:
        try:
            info, _ = VARZ.decode(unpack(message.data, message.headers))
        except Malformed:
            return
        heard[info.name, info.id] += 1

    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, cb=hear)
    await client.publish(VARZ.subject(), b"", reply=inbox)
    await asyncio.sleep(_LISTEN)
    await subscription.unsubscribe()
    for (name, _), times in heard.most_common(_NAMED):
        if times > 1:
            why = "somebody answers in its place, or two ways lead to it, such as two leaf nodes"
            yield "bad", "replies", f"{name} answers a request {times} times: {why}"


async def tenants(client: Client, config: Config) -> AsyncIterator[Step]:
    """Whether the accounts that the configuration chooses can be told of themselves."""
    chosen = config.tenants.accounts
    if not chosen:
        return
    permissions = (await user_info(client)).permissions
    publish, subscribe = permissions and permissions.publish, permissions and permissions.subscribe
    if publish and not may(publish, _AN_ADVISORY):
        yield "bad", "permission", f"may not publish {subjects.permission(_AN_ADVISORY)}"
    if subscribe and not may(subscribe, subjects.tenant_api("STATUS", "account")):
        yield "bad", "permission", f"{subjects.tenant_api('*')} is refused"
    asker = Asker(client, 2.0)
    own, varz = await asker.one(VARZ, client.server_id)
    heard = await asker.everybody(STATZ, (own.id,))
    accounts: dict[str, str] = {}
    for info, statz in heard.values():
        named = told(AccountStat, "name", info.ver)
        for row in statz.account_statz or ():
            accounts[row.acc] = (row.name if named else "") or accounts.get(row.acc, row.acc)
    of = Tenants(chosen, accounts, (varz.system_account,))
    barred = of.barred(accounts)
    for name in barred[:_NAMED]:
        yield "warning", "tenants", barring(name)
    if (more := len(barred) - _NAMED) > 0:
        yield "warning", "tenants", f"and {more} more accounts cannot be tenants"
    yield "ok", "tenants", f"{sum(map(of.has, accounts))} of {len(accounts)} accounts are tenants"
