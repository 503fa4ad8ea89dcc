"""Access: whether the user of this connection can query the system."""

from __future__ import annotations

import nats.errors

from nats_insights.connection.client import Client
from nats_insights.connection.connect import user_info
from nats_insights.errors import ConnectError, RequestError
from nats_insights.facts import Access
from nats_insights.replies.fields import Malformed
from nats_insights.replies.varz import VARZ

PERMISSIONS = "the list of permissions is in docs/permissions.md"


async def recognise(client: Client, timeout: float = 5.0) -> Access:
    """The user of the connection and its access; ConnectError in one sentence if it has none."""
    try:
        user = await user_info(client)
    except RequestError as error:
        raise ConnectError(_denied(client) or str(error)) from None
    subject = VARZ.subject(client.server_id)
    try:
        reply = await client.request(subject, b"", timeout=timeout)
        _, varz = VARZ.decode(reply.data)
    except nats.errors.NoRespondersError:
        raise ConnectError(_not_system(user.user, user.account)) from None
    except nats.errors.TimeoutError:
        why = _denied(client) or "the server did not answer VARZ in time"
        raise ConnectError(why) from None
    except Malformed as problem:
        raise ConnectError(f"the server's VARZ cannot be read: {problem}") from None
    if varz.system_account != user.account:
        raise ConnectError(_not_system(user.user, user.account))
    return Access(mode="system", account=user.account, user=user.user)


def _not_system(user: str, account: str) -> str:
    who = f"user {user} of account {account}" if user else f"an anonymous client of {account}"
    return (
        f"logged in as {who}, which is not the system account: give the agent a user of the "
        "account that `system_account` names in the configuration of the servers"
    )


def _denied(client: Client) -> str:
    if not client.lacks:
        return ""
    return f"the user lacks the permission for {sorted(client.lacks)[0]}; {PERMISSIONS}"
