"""Opening a connection: what is let in, and what each failure is called."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest

from nats_insights.connection.client import Client
from nats_insights.connection.connect import Permissions, Responses, Subjects, connect, user_info
from nats_insights.connection.contexts import Settings
from nats_insights.connection.refusals import Unreachable, explain
from nats_insights.errors import ConnectError, RequestError
from nats_insights.lab.servers.jwts import Key, Operator

SECRET = "s3cr3t-do-not-show"
SYSTEM = f"""
    accounts {{ SYS: {{ users: [ {{ user: agent, password: "{SECRET}" }} ] }} }}
    system_account: SYS
"""


async def refused(*servers: str, timeout: float = 10.0, **fields: Any) -> ConnectError:
    """The error, and a check that no secret is in it or in what it came from."""
    with pytest.raises(ConnectError) as caught:
        await connect(Settings(servers=servers, **fields), name="test", timeout=timeout)
    error: BaseException | None = caught.value
    while error:
        assert SECRET not in repr(error)
        error = error.__cause__ or error.__context__
    return caught.value


async def account(server: str, **fields: Any) -> str:
    """The account that these settings lead into."""
    client = await connect(Settings(servers=(server,), **fields), name="test")
    try:
        return (await user_info(client)).account
    finally:
        await client.close()


async def test_a_user_with_a_password_is_let_in(serve: Any) -> None:
    url = serve(SYSTEM).url
    assert await account(url, user="agent", password=SECRET) == "SYS"
    assert await account(url.replace("//", f"//agent:{SECRET}@")) == "SYS"


async def test_a_token_is_let_in(serve: Any) -> None:
    url = serve(f'authorization {{ token: "{SECRET}" }}').url
    assert await account(url, token=SECRET) == "$G"
    assert await account(url.replace("//", f"//{SECRET}@")) == "$G"


async def test_an_nkey_is_let_in(serve: Any, tmp_path: Path) -> None:
    key, other = Key("user"), Key("user")
    url = serve(f"authorization {{ users: [ {{ nkey: {key.public} }} ] }}").url
    (tmp_path / "u.nk").write_text(key.seed)
    assert await account(url, nkey=str(tmp_path / "u.nk")) == "$G"
    (tmp_path / "u.nk").write_text(other.seed)
    told = await refused(url, nkey=str(tmp_path / "u.nk"))
    assert str(told) == f"{url} refused nkey {other.public}: it is not among the users there"


async def test_users_of_an_operator_are_let_in(serve: Any, tmp_path: Path) -> None:
    operator = Operator()
    system, tenant = operator.account("SYS"), operator.account("T")
    url = serve(operator.configuration(system)).url
    agent = system.user("agent")
    (tmp_path / "agent.creds").write_text(agent.creds.replace("\n", "\r\n"))
    assert await account(url, creds=str(tmp_path / "agent.creds")) == system.id
    assert await account(url, user_jwt=agent.jwt, user_seed=agent.key.seed) == system.id
    assert await account(url, user_jwt=tenant.user("b", bearer_token=True).jwt) == tenant.id


async def test_a_user_of_an_unknown_operator_is_refused(serve: Any, tmp_path: Path) -> None:
    operator = Operator()
    url = serve(operator.configuration(operator.account("SYS"))).url
    path = tmp_path / "stranger.creds"
    path.write_text(Operator().account("SYS").user("agent").creds)
    told = await refused(url, creds=str(path))
    why = f"refused the user in creds file {path}: it is of an unknown account, or revoked"
    assert str(told) == f"{url} {why}"


async def test_a_wrong_password_is_told_without_showing_it(serve: Any) -> None:
    url = serve(SYSTEM.replace(SECRET, "another")).url
    told = await refused(url, user="agent", password=SECRET)
    assert str(told) == f"{url} refused user 'agent': check the name and the password"
    told = await refused(url.replace("//", f"//agent:{SECRET}@"))
    assert str(told) == f"{url} refused user 'agent': check the name and the password"


async def test_a_wrong_token_is_told_without_showing_it(serve: Any) -> None:
    url = serve("authorization { token: another }").url
    assert str(await refused(url, token=SECRET)) == f"{url} refused the token: check it"


async def test_a_server_that_wants_credentials_says_so(serve: Any) -> None:
    url = serve("authorization { user: a, password: b }").url
    wanted = "requires credentials: give --creds, --nkey, --user or --context"
    assert str(await refused(url)) == f"{url} {wanted}"


async def test_a_full_server_may_have_room_later(serve: Any) -> None:
    url = serve("max_connections: 1").url
    client = await connect(Settings(servers=(url,)), name="first")
    told = await refused(url)
    await client.close()
    assert type(told) is Unreachable


async def test_the_reason_for_hanging_up_is_told_though_our_log_in_breaks(listen: Any) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"INFO {}\r\n-ERR 'maximum connections exceeded'\r\n")
        writer.close()

    url = await listen(handler)
    told = await refused(url)
    assert str(told) == f"{url} accepts no connection now: maximum connections exceeded"


async def test_a_port_for_routes_is_told(serve: Any) -> None:
    server = serve("cluster { name: C, listen: 127.0.0.1:-1 }")
    told = await refused(server.cluster_url)
    assert str(told).startswith(f"{server.cluster_url} refused the connection: ")


async def test_unreachable_servers_are_all_told(dead: str) -> None:
    told = await refused(dead, *[dead.replace("//", f"//u:{SECRET}@")] * 4)
    one = f"{dead} cannot be reached: Connection refused"
    assert str(told) == f"{one}; {one}; {one}; and 2 more servers"
    assert type(told) is Unreachable


async def test_who_gave_no_server_is_told_that_the_default_was_tried(dead: str) -> None:
    with pytest.raises(Unreachable) as told:
        await connect(Settings(servers=(dead,), is_default=True), name="test")
    assert str(told.value) == (
        f"{dead} cannot be reached: Connection refused; no server was given, so the default was "
        "tried: give --server, --context or NATS_URL"
    )


async def test_what_a_person_can_mend_is_told_before_what_may_pass(serve: Any, dead: str) -> None:
    url = serve(SYSTEM).url
    told = await refused(dead, url, user="agent", password="wrong")
    assert str(told) == f"{url} refused user 'agent': check the name and the password"


async def test_the_log_in_tells_our_name_and_no_more_than_it_must(
    listen: Any, greet: Any, ours: Any
) -> None:
    connects: list[dict[str, Any]] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connects.append(json.loads((await greet(reader, writer)).removeprefix(b"CONNECT ")))
        await reader.read()

    client = await ours(await listen(handler), inbox_prefix="_INBOX.mine")
    assert (connects[0]["name"], connects[0].keys() & {"user", "pass", "auth_token", "jwt"}) == (
        "test",
        set(),
    )
    assert client.server_id == "F"
    assert client.new_inbox().startswith("_INBOX.mine.")


async def test_the_first_server_that_takes_us_is_ours(serve: Any, dead: str) -> None:
    url = serve().url
    client = await connect(Settings(servers=(dead, url)), name="test")
    assert client.url == url
    await client.close()


async def test_a_server_that_says_nothing_is_told(listen: Any) -> None:
    url = await listen(lambda reader, writer: reader.read())
    told = await refused(url, timeout=0.1)
    doubt = "it may hang, not speak NATS, or need --tlsfirst"
    assert str(told) == f"{url} accepts connections but sends nothing within 0.1 s: {doubt}"


@pytest.mark.parametrize(
    ("greeting", "fragment"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak NATS: is it the port for clients?"),
        (b"INFO {oops\r\n", "does not speak NATS: is it the port for clients?"),
        (b"INFO 5\r\n", "does not speak NATS: is it the port for clients?"),
        (b"x" * 1_000_000, "does not speak NATS: is it the port for clients?"),
        (b"", "closed the connection during the log-in"),
        (b"INFO {}\r\n", "closed the connection during the log-in"),
        (b"INFO {}\r\n-ERR 'Because'\r\n", "refused the connection: Because"),
        (b"INFO {}\r\n-ERR 'Authentication Timeout'\r\n", "requires credentials: give --creds"),
    ],
)
async def test_a_peer_that_fails_the_log_in_is_told(
    greeting: bytes, fragment: str, listen: Any
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        writer.write_eof()
        await reader.read()

    url = await listen(handler)
    assert str(await refused(url)).startswith(f"{url} {fragment}")


async def test_a_server_that_hangs_in_the_log_in_is_told(listen: Any) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"INFO {}\r\n")
        await reader.read()

    url = await listen(handler)
    told = await refused(url, timeout=0.1)
    assert str(told) == f"{url} did not finish the log-in within 0.1 s"


async def test_bad_credentials_are_told_before_anyone_is_called(
    tmp_path: Path, listen: Any
) -> None:
    called = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        called.set()

    url = await listen(handler)
    told = await refused(url, creds=str(tmp_path / "absent"))
    assert (f"creds file {tmp_path}/absent cannot be read" in str(told), called.is_set()) == (
        True,
        False,
    )


@pytest.mark.parametrize("greeting", [b"", b"INFO {}\r\n"])
async def test_a_cancelled_attempt_ends_and_leaves_no_connection(
    greeting: bytes, listen: Any
) -> None:
    called, gone = asyncio.Event(), asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        called.set()
        await reader.read()
        gone.set()

    settings = Settings(servers=(await listen(handler),))
    attempt = asyncio.create_task(connect(settings, name="test", timeout=3600))
    await called.wait()
    attempt.cancel()
    await asyncio.wait({attempt}, timeout=30)
    assert attempt.cancelled()
    await gone.wait()


async def test_user_info_says_who_we_are_and_what_we_may(serve: Any, ours: Any) -> None:
    permissions = """
        publish: { allow: ["$SYS.REQ.>"], deny: "x" }, subscribe: "_INBOX.insights.>"
        allow_responses: { max: 2, expires: "3s" }
    """
    user = f"user: u, password: p, permissions: {{ {permissions} }}"
    url = serve(f"authorization {{ users: [ {{ {user} }} ] }}").url
    info = await user_info(await ours(url, user="u", password="p"))
    assert (info.user, info.account, info.expires) == ("u", "$G", 0)
    assert info.permissions == Permissions(
        publish=Subjects(allow=["$SYS.REQ.>"], deny=["x"]),
        subscribe=Subjects(allow=["_INBOX.insights.>"]),
        responses=Responses(max=2, ttl=3_000_000_000),
    )


@pytest.mark.parametrize(
    ("permissions", "denied"),
    [
        ('publish: { deny: "$SYS.>" }', "$SYS.REQ.USER.INFO"),
        ('subscribe: { deny: "_INBOX.insights.>" }', "_INBOX.insights.>"),
    ],
)
async def test_user_info_that_is_not_allowed_is_told(
    permissions: str, denied: str, serve: Any
) -> None:
    user = f"user: u, password: p, permissions: {{ {permissions} }}"
    url = serve(f"authorization {{ users: [ {{ {user} }} ] }}").url
    client = await connect(Settings(servers=(url,), user="u", password="p"), name="test")
    with pytest.raises(RequestError, match="the user may not use ") as caught:
        await user_info(client, timeout=0.2)
    await client.close()
    assert str(caught.value) == f"the user may not use {denied}: allow it"
    with pytest.raises(ConnectError, match="the connection is closed"):
        await user_info(client)


@pytest.mark.parametrize(
    ("error", "fragment"),
    [
        (socket.gaierror(-2, "Name or service not known"), "nats://a:1 cannot be resolved: "),
        (UnicodeError("label empty"), "the host in nats://a:1 cannot be resolved: label empty"),
        (TimeoutError(), "does not answer within 5 s: check host and firewall"),
        (OSError("Multiple exceptions: a, b"), "cannot be reached: Multiple exceptions"),
    ],
)
def test_what_the_network_says_is_passed_on(error: Exception, fragment: str) -> None:
    told = explain(error, Client("nats://a:1", secure=False), "", 5.0)
    assert (type(told), fragment in str(told)) == (Unreachable, True)
