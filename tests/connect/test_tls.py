"""TLS: wanted means had, and every way in which it fails has its sentence."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from nats_insights.connection import client as client_module
from nats_insights.connection.connect import connect, user_info
from nats_insights.connection.contexts import Settings
from nats_insights.errors import ConnectError


@pytest.fixture
def serve_tls(serve: Any, certificates: Path) -> Any:
    """`serve_tls("verify: true")` runs a server with TLS, by name `localhost`; returns its port."""

    def start(tls: str = "", rest: str = "") -> int:
        files = f'cert_file: "{certificates}/server.pem", key_file: "{certificates}/server.key"'
        configuration = f'tls {{ {files}, ca_file: "{certificates}/ca.pem"\n{tls} }}\n{rest}'
        return int(serve(configuration).port)

    return start


@pytest.fixture
def ca(certificates: Path) -> str:
    return str(certificates / "ca.pem")


async def encrypted(url: str, **fields: Any) -> bool:
    client = await connect(Settings(servers=(url,), **fields), name="test")
    try:
        assert (await user_info(client)).account == "$G"
        return client._transport._io_writer.get_extra_info("ssl_object") is not None
    finally:
        await client.close()


async def refused(url: str, timeout: float = 10.0, **fields: Any) -> str:
    with pytest.raises(ConnectError) as caught:
        await connect(Settings(servers=(url,), **fields), name="test", timeout=timeout)
    return str(caught.value).removeprefix("the certificate of ").removeprefix(f"{url} ")


async def test_tls_is_had_when_the_url_or_an_authority_wants_it(serve_tls: Any, ca: str) -> None:
    port = serve_tls()
    assert await encrypted(f"tls://localhost:{port}", ca=ca) is True
    assert await encrypted(f"nats://localhost:{port}", ca=ca) is True


@pytest.mark.parametrize("end", ["close", "give_up"])
async def test_nothing_is_logged_when_a_connection_with_tls_ends(
    end: str, serve_tls: Any, ca: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"tls://localhost:{serve_tls()}"
    client = await connect(Settings(servers=(url,), ca=ca), name="test")
    await (client.close() if end == "close" else client.give_up("for a test"))
    assert caplog.messages == []


async def test_nothing_is_logged_when_a_server_ends_a_connection_with_tls(
    serve: Any, certificates: Path, ca: str, caplog: pytest.LogCaptureFixture
) -> None:
    files = f'cert_file: "{certificates}/server.pem", key_file: "{certificates}/server.key"'
    server = serve(f"tls {{ {files} }}")
    url = f"tls://localhost:{server.port}"
    client = await connect(Settings(servers=(url,), ca=ca), name="test")
    server.signal(signal.SIGTERM)
    await client.closed.wait()
    assert client.last_error
    assert caplog.messages == []


async def test_tls_is_had_where_the_server_leaves_it_open(serve_tls: Any, ca: str) -> None:
    port = serve_tls(rest="allow_non_tls: true")
    assert await encrypted(f"tls://localhost:{port}", ca=ca) is True
    assert await encrypted(f"nats://localhost:{port}", ca=ca) is True
    assert await encrypted(f"nats://localhost:{port}") is False


async def test_tls_may_come_before_the_greeting(serve_tls: Any, ca: str) -> None:
    url = f"tls://localhost:{serve_tls('handshake_first: true')}"
    assert await encrypted(url, ca=ca, tls_first=True) is True
    assert "sends nothing within 0.3 s: it may hang, not speak NATS, or need --tlsfirst" in (
        await refused(url, ca=ca, timeout=0.3)
    )


async def test_nothing_is_sent_to_a_server_without_tls_where_it_is_wanted(
    listen: Any, ca: str
) -> None:
    heard = asyncio.get_running_loop().create_future()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"INFO {}\r\n")
        heard.set_result(await reader.read())

    url = (await listen(handler)).replace("nats://", "tls://")
    told = "offers no TLS: enable it there, or give no TLS settings here"
    assert await refused(url, user="agent", password="p") == told
    assert await heard == b""


async def test_a_server_without_tls_is_told(serve: Any, ca: str) -> None:
    url = serve().url
    assert await refused(url, ca=ca) == (
        "offers no TLS: enable it there, or give no TLS settings here"
    )
    assert await refused(url, tls_first=True) == "does not begin with TLS: leave out --tlsfirst"


async def test_a_certificate_of_an_unknown_authority_is_told(
    serve_tls: Any, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "_CLOSE_SECONDS", 3600)
    url = f"tls://localhost:{serve_tls()}"
    cure = "give its authority with --tlsca"
    unknown = f"is not valid (unable to get local issuer certificate): {cure}"
    assert await refused(url) == unknown
    assert await refused(url, ca=str(certificates / "stranger.pem")) == unknown


async def test_a_certificate_of_another_name_is_told(serve_tls: Any, ca: str) -> None:
    told = await refused(f"tls://127.0.0.1:{serve_tls()}", ca=ca)
    assert told.startswith("is not valid (IP address mismatch, ")
    assert told.endswith("): use a URL with an address that it contains")


async def test_a_client_certificate_is_shown_where_it_is_wanted(
    serve_tls: Any, certificates: Path, ca: str
) -> None:
    url = f"tls://localhost:{serve_tls('verify: true')}"
    cert, key = str(certificates / "client.pem"), str(certificates / "client.key")
    assert await encrypted(url, ca=ca, cert=cert, key=key) is True


async def test_a_client_certificate_that_is_wanted_and_not_given_is_told(
    serve_tls: Any, certificates: Path, ca: str
) -> None:
    url = f"tls://localhost:{serve_tls('verify: true')}"
    cert, key = str(certificates / "stranger.pem"), str(certificates / "stranger.key")
    wanted = "requires a client certificate that it trusts: --tlscert and --tlskey"
    assert await refused(url, ca=ca) == wanted
    assert await refused(url, ca=ca, cert=cert, key=key) == wanted
