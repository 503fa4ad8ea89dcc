"""Access: whether the user of this connection can query the system, and report what it sees."""

from __future__ import annotations

from collections.abc import Sequence

import nats.errors

from nats_insights import subjects
from nats_insights.connection.client import Client
from nats_insights.connection.connect import Permissions, Subjects, UserInfo, user_info
from nats_insights.errors import ConnectError, RequestError
from nats_insights.facts import Access
from nats_insights.replies.accountz import ACCOUNTZ_DETAIL, body
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
# Servers answer an ordinary account under their own names too, but with less.
_TWICE = (
    "account {} imports the requests of the system account under their own names, so that servers "
    "answer some of them twice: import them with a prefix, and give it as --sys-req-prefix"
)
_NO_ACCOUNTS = (
    "; servers without accounts have no such user yet: add "
    "`accounts { SYS: { users: [ { user: agent, password: ... } ] } }` and `system_account: SYS`"
)
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
        raise ConnectError(_untaken(client, user)) from None
    except nats.errors.TimeoutError:
        why = _denied(client) or "the server did not answer VARZ in time"
        raise ConnectError(why) from None
    except Malformed as problem:
        raise ConnectError(f"the server's VARZ cannot be read: {problem}") from None
    is_system = varz.system_account == user.account
    if not is_system and client.sys_req == subjects.SYS_REQ:
        raise ConnectError(_TWICE.format(user.account_name or user.account))
    if not is_system:
        client.imports = await _imports(client, user.account, timeout)
    if reports and not may_publish(user.permissions) and not may_answer(user.permissions):
        raise ConnectError(
            f"the user may neither publish $INSIGHTS.> nor answer {subjects.api('*')}, so nobody "
            f"would hear of any finding; {PERMISSIONS}"
        )
    return Access(
        mode="system" if is_system else "imported",
        account=user.account,
        user=user.user,
        account_name=told_name(user.account_name),
        user_name=told_name(user.user_name),
        prefix="" if is_system else client.sys_req,
    )


async def _imports(client: Client, account: str, timeout: float) -> list[str] | None:
    """The requests to servers that this account imports with the prefix; None if not known."""
    subject = ACCOUNTZ_DETAIL.subject(client.server_id)
    try:
        reply = await client.request(subject, body(account), timeout=timeout)
        _, told = ACCOUNTZ_DETAIL.decode(reply.data)
    except (nats.errors.Error, Malformed):
        return None
    imports = told.account_detail.imports if told.account_detail else None
    return [
        one.subject
        for one in imports or ()
        if one.local_subject == subjects.requests_of(client.sys_req, one.subject)
    ]


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


def dangers(
    user: UserInfo,
    server_id: str,
    sys_req: str = subjects.SYS_REQ,
    imports: Sequence[str] | None = None,
) -> list[str]:
    """The requests that this user may send though they change something.

    In an account that imports them, those of a server that are imported, with the prefix `sys_req`;
    all that are permitted where `imports` is None, not known. The others are for system accounts.
    """
    wanted = {one: subjects.server_request(one, server_id) for one in _DANGEROUS}
    if sys_req == subjects.SYS_REQ:
        wanted |= _OF_JETSTREAM
        if is_key(user.account):
            wanted |= {one: f"$SYS.REQ.{one}" for one in _CLAIMS}
    publish = user.permissions.publish if user.permissions else None
    return [
        one
        for one, subject in wanted.items()
        if (publish is None or may(publish, subjects.requests_of(sys_req, subject)))
        and (imports is None or any(subjects.covers(wide, subject) for wide in imports))
    ]


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


def _untaken(client: Client, user: UserInfo) -> str:
    """Why no server takes our requests, and what to do."""
    account = user.account
    if client.sys_req != subjects.SYS_REQ:
        wanted = client.sent_as("$SYS.REQ.SERVER.*.VARZ")
        return (
            f"no server takes requests on {wanted}: import them into account {account} from the "
            "system account under this name, or give another --sys-req-prefix"
        )
    who = f"user {user.user} of account" if user.user else "an anonymous client of"
    return (
        f"logged in as {who} {account}, which is not the system account, and sees only its own "
        "connections: give the agent a user of the account that `system_account` names in the "
        "configuration of the servers, or --sys-req-prefix where this account imports its requests"
        f"{_NO_ACCOUNTS if account == '$G' else ''}"
    )


def _denied(client: Client) -> str:
    if not client.lacks:
        return ""
    return f"the user lacks the permission for {sorted(client.lacks)[0]}; {PERMISSIONS}"
