"""The connection to the system: opened, probed, and opened again when it breaks."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec
import nats.errors
from msgspec import Struct

from nats_insights.connection import credentials
from nats_insights.connection.client import Client
from nats_insights.connection.contexts import Settings, without_login
from nats_insights.connection.refusals import Unreachable, explain
from nats_insights.errors import ConnectError, RequestError
from nats_insights.subjects import USER_INFO

log = logging.getLogger("nats_insights.connect")

PING_SECONDS = 5
PROBE_SECONDS, PROBE_TIMEOUT = 10.0, 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 15.0  # seconds between attempts, doubling
SERVERS_MAX = 100
_HINT = "no server was given, so the default was tried: give --server, --context or NATS_URL"


class Subjects(Struct, frozen=True, kw_only=True):
    """Subjects that a user may use, and may not use; None is no list."""

    allow: list[str] | None = None
    deny: list[str] | None = None


class Responses(Struct, frozen=True, kw_only=True):
    """How many replies a user may send to a request, and for how long, in nanoseconds."""

    max: int = 0
    ttl: int = 0


class Permissions(Struct, frozen=True, kw_only=True):
    publish: Subjects | None = None
    subscribe: Subjects | None = None
    responses: Responses | None = None


class UserInfo(Struct, frozen=True, kw_only=True):
    """Our user as the server knows it; a user without `permissions` may do everything.

    `user` and `account` are ids, which are public keys in operator mode; the names come with
    newer servers. `expires` is in nanoseconds from now, 0 is never.
    """

    user: str = ""
    user_name: str = ""
    account: str = ""
    account_name: str = ""
    permissions: Permissions | None = None
    expires: int = 0


class _Reply(Struct):
    data: UserInfo


class _Server(NamedTuple):
    url: str
    tls_name: str | None = None  # what its certificate bears, where the URL has an address


async def connect(settings: Settings, *, name: str, timeout: float = 5.0) -> Client:
    """A connected client of the first server that accepts us; `timeout` is for each, in seconds.

    Raises ConnectError in one sentence that says what to do.
    """
    return await _first([_Server(url) for url in settings.servers], settings, name, timeout)


async def clients(
    settings: Settings,
    *,
    name: str,
    patient: bool = False,
    tried: Callable[[str], None] = lambda why: None,
    purpose: str = "",
    failed: Callable[[ConnectError], None] | None = None,
) -> AsyncGenerator[Client, None]:
    """A connected client, and a new one whenever the next is requested, however long that takes.

    Ask for the next when the last is `closed`. The first connection raises ConnectError, unless
    the agent is `patient` and waiting can help; later ones never do. Where there is `failed`, it
    is told of each failure, and nothing is raised or logged of it. `tried` hears of each server
    that did not accept us, and why. The log names the `purpose`. Close the generator when done
    with it (`contextlib.aclosing`): that closes the client too.
    """
    servers = [_Server(url) for url in settings.servers]
    connected, failures, told = False, 0, ""
    while True:
        try:
            client = await _first(servers, settings, name, timeout=5.0, tried=tried)
        except ConnectError as error:
            if failed is not None:
                failed(error)
            elif not connected and not (patient and isinstance(error, Unreachable)):
                raise
            elif told != str(error):
                log.warning("no connection: %s", error)
            failures, told = failures + 1, str(error)
            await asyncio.sleep(_pause(failures))
            continue
        connected, failures, told = True, 0, ""
        log.info("connected to %s%s", client.url, purpose)
        probe = asyncio.create_task(_probe(client))
        try:
            yield client
        finally:
            probe.cancel()
            await client.close()
        why = client.last_error or "by us"
        log.warning("connection to %s%s closed: %s", client.url, purpose, why)
        servers = _after(client, servers)
        await asyncio.sleep(_pause(failures))


async def user_info(client: Client, *, timeout: float = 2.0) -> UserInfo:
    """Who we are to the server; raises RequestError, or ConnectError if the connection is gone."""
    try:
        reply = await client.request(USER_INFO, timeout=timeout)
        client.user = msgspec.json.decode(reply.data, type=_Reply).data
        return client.user
    except nats.errors.NoRespondersError as error:
        raise RequestError(f"no server answers {USER_INFO}: the server is too old") from error
    except msgspec.MsgspecError as error:
        raise RequestError(f"the answer to {USER_INFO} cannot be read: {error}") from error
    except (nats.errors.Error, OSError) as error:
        if client.closed.is_set():
            raise ConnectError(
                f"the connection is closed: {client.last_error or 'by us'}"
            ) from error
        if denied := client.forbidden(USER_INFO):
            raise RequestError(f"the user may not use {denied}: allow it") from error
        raise RequestError(f"no answer to {USER_INFO} within {timeout:g} s") from error


async def _first(
    servers: list[_Server],
    settings: Settings,
    name: str,
    timeout: float,
    tried: Callable[[str], None] = lambda why: None,
) -> Client:
    """A client of the first server that accepts us; if none does, the error that needs a person."""
    failures: list[ConnectError] = []
    for server in servers:
        try:
            return await _open(server, settings, name, timeout)
        except ConnectError as error:
            tried(str(error))
            failures.append(error)
    for failure in failures:
        if not isinstance(failure, Unreachable):
            raise failure
    more = [f"and {len(failures) - 3} more servers"] if len(failures) > 3 else []
    hint = [_HINT] if settings.is_default else []
    raise Unreachable("; ".join([*map(str, failures[:3]), *more, *hint]))


async def _open(server: _Server, settings: Settings, name: str, timeout: float) -> Client:
    url = without_login(server.url)
    login, tls = credentials.login(settings, server.url), credentials.tls(settings)
    client = Client(
        url, secure=tls is not None, sys_req=settings.sys_req_prefix, js_api=settings.js_api
    )
    client.expiries = partial(credentials.expiries, settings, server.url)
    try:
        async with asyncio.timeout(timeout):
            await client.connect(
                [url],
                name=name,
                error_cb=client.record,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                # The deadline is ours: theirs is asyncio.wait_for, which forgets a cancellation
                # now and then (Python 3.11).
                connect_timeout=None,  # type: ignore[arg-type]
                ping_interval=PING_SECONDS,
                max_outstanding_pings=2,
                tls=tls,
                tls_hostname=server.tls_name,
                tls_handshake_first=settings.tls_first,
                inbox_prefix=settings.inbox_prefix,
                **login.options,
            )
        if not client.is_connected:
            raise nats.errors.ProtocolError
    except BaseException as error:
        await client.close()
        if not isinstance(error, Exception):
            raise
        raise explain(error, client, login.refusal, timeout) from error
    return client


async def _probe(client: Client) -> None:
    """Closes a client whose server no longer replies although the connection is open."""
    missed = 0
    while missed < 2:
        await asyncio.sleep(PROBE_SECONDS)
        try:
            reply = await client.request(USER_INFO, timeout=PROBE_TIMEOUT)
            missed = 0
            with suppress(msgspec.MsgspecError):  # Its permissions may have changed.
                client.user = msgspec.json.decode(reply.data, type=_Reply).data
        except nats.errors.NoRespondersError:
            missed = 0  # The server itself says so, hence it lives.
        except (nats.errors.Error, OSError):
            missed += 1
        if client.closed.is_set():
            return
        if denied := client.forbidden(USER_INFO):
            log.warning("the user may not use %s: a hung server is noticed later", denied)
            return
    await client.give_up(f"the server left {USER_INFO} unanswered twice in a row")


def _after(client: Client, servers: list[_Server]) -> list[_Server]:
    """The servers to try after this client: its own last, and those that it announced."""
    lost = next(server for server in servers if without_login(server.url) == client.url)
    parts = urlsplit(lost.url)
    login, at, _ = parts.netloc.rpartition("@")
    name = lost.tls_name or (None if _is_address(parts.hostname) else parts.hostname)
    heard_of = [
        _Server(
            f"{parts.scheme}://{login}{at}{uri.netloc}", name if _is_address(uri.hostname) else None
        )
        for uri in client.discovered_servers
        if uri.netloc.isprintable()  # It is shown, and comes from outside.
    ]
    known = {without_login(server.url) for server in servers}
    new = [server for server in heard_of if without_login(server.url) not in known]
    servers.remove(lost)
    return [*servers, *new[: max(0, SERVERS_MAX - len(servers))], lost]


def _is_address(host: str | None) -> bool:
    try:
        ipaddress.ip_address(host or "")
    except ValueError:
        return False
    return True


def _pause(failures: int) -> float:
    """Seconds before the next attempt, spread so that many agents do not come at once."""
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures, 10))
    return random.uniform(longest / 2, longest)
