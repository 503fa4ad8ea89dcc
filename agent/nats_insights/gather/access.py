"""Access: whether the user of this connection can query the system, and report what it sees."""

from __future__ import annotations

import nats.errors

from nats_insights import subjects
from nats_insights.connection.client import Client
from nats_insights.connection.connect import Permissions, Subjects, UserInfo, user_info
from nats_insights.errors import ConnectError, RequestError
from nats_insights.facts import Access
from nats_insights.replies.claims import is_key, told_name
from nats_insights.replies.fields import Malformed
from nats_insights.replies.varz import VARZ

PERMISSIONS = "`nats-insights permissions` prints the whole list"
# Subjects as the agent publishes on them.
AN_ADVISORY = f"{subjects.ADVISORY}.INFO.SERVER._.name.CODE.fingerprint"
_PUBLISHED = (AN_ADVISORY, subjects.heartbeat("agent"))
# Requests that change something, which a user that only reads should not be able to send: of a
# server, of JetStream as the system account alone may, and where accounts are JWTs.
_DANGEROUS = ("KICK", "LDM", "RELOAD")
_OF_JETSTREAM = {
    "META.LEADER.STEPDOWN": "$JS.API.META.LEADER.STEPDOWN",
    "SERVER.REMOVE": "$JS.API.SERVER.REMOVE",
    "ACCOUNT.PURGE": "$JS.API.ACCOUNT.PURGE.any",
}
_CLAIMS = ("CLAIMS.UPDATE", "CLAIMS.DELETE")
# Where replies are wanted: by clients of the same account, and of others.
_INBOXES = ("_INBOX.any", "_R_.any")


async def recognise(client: Client, timeout: float = 5.0, *, reports: bool = False) -> Access:
    """The user of the connection and its access; ConnectError in one sentence if it has none.

    Where it `reports`, that also is the error if it may neither publish nor answer queries.
    """
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
    if reports and not may_publish(user.permissions) and not may_answer(user.permissions):
        raise ConnectError(
            f"the user may neither publish $INSIGHTS.> nor answer {subjects.api('*')}, so nobody "
            f"would hear of any finding; {PERMISSIONS}"
        )
    return Access(
        mode="system",
        account=user.account,
        user=user.user,
        account_name=told_name(user.account_name),
        user_name=told_name(user.user_name),
    )


def may_publish(permissions: Permissions | None) -> bool:
    """Whether a user with these permissions may publish advisories and heartbeats."""
    publish = permissions.publish if permissions else None
    return publish is None or all(may(publish, subject) for subject in _PUBLISHED)


def may_answer(permissions: Permissions | None) -> bool:
    """Whether a user with these permissions may receive queries, and reply to them."""
    subscribe = permissions.subscribe if permissions else None
    hears = subscribe is None or may(subscribe, subjects.api("STATUS"))
    return hears and may_reply(permissions)


def may_reply(permissions: Permissions | None) -> bool:
    """Whether a user with these permissions may reply to requests."""
    if permissions is None or permissions.publish is None or permissions.responses:
        return True
    return all(may(permissions.publish, inbox) for inbox in _INBOXES)


def dangers(user: UserInfo, server_id: str) -> list[str]:
    """The requests that this user may send though they change something."""
    wanted = {one: subjects.server_request(one, server_id) for one in _DANGEROUS} | _OF_JETSTREAM
    if is_key(user.account):
        wanted |= {one: f"$SYS.REQ.{one}" for one in _CLAIMS}
    publish = user.permissions.publish if user.permissions else None
    return [one for one, subject in wanted.items() if publish is None or may(publish, subject)]


def restricted(user: UserInfo) -> bool:
    """Whether this user has any list of what it may publish."""
    publish = user.permissions.publish if user.permissions else None
    return publish is not None and (publish.allow, publish.deny) != (None, None)


def may(rules: Subjects, subject: str) -> bool:
    """Whether these rules let a user publish on a subject, or subscribe to it."""
    # A subject may be followed by the queue groups for which it is allowed.
    wide = None if rules.allow is None else [one.partition(" ")[0] for one in rules.allow]
    allowed = wide is None or any(subjects.covers(one, subject) for one in wide)
    return allowed and not any(subjects.covers(one, subject) for one in rules.deny or ())


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
