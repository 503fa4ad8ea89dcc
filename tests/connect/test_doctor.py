"""What `doctor` says where TLS does not fit."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kit.doctor import about, examined

SYSTEM = "accounts { SYS: { users: [ { user: agent, password: pw } ] } }\nsystem_account: SYS\n"
LOGIN = ("agent", "pw")


@pytest.fixture
def serve_system(serve: Any, certificates: Path) -> Any:
    """`serve_system("verify: true")`: the URL of a server with TLS and a system account."""

    def start(tls: str = "") -> str:
        files = f'cert_file: "{certificates}/server.pem", key_file: "{certificates}/server.key"'
        text = f'tls {{ {files}, ca_file: "{certificates}/ca.pem"\n{tls} }}\n{SYSTEM}'
        return f"localhost:{serve(text).port}"

    return start


def test_a_server_with_tls_that_fits(serve_system: Any, certificates: Path, tmp_path: Path):
    url = f"tls://{serve_system()}"
    ca = str(certificates / "ca.pem")
    code, said = asyncio.run(examined(tmp_path, url, login=LOGIN, ca=ca))
    assert code == 0
    (line,) = about(said, "connection")
    assert line.startswith(f"✓ connection {url}")


def test_tls_is_wanted_of_a_server_without_it(serve: Any, tmp_path: Path):
    url = f"tls://localhost:{serve(SYSTEM).port}"
    code, said = asyncio.run(examined(tmp_path, url, login=LOGIN))
    assert (code, about(said, "connection")) == (
        3,
        [
            f"✗ connection {url} offers no TLS: enable it there, or give no TLS settings here "
            f"(asked for: {url})"
        ],
    )


def test_the_authority_of_a_server_is_unknown(serve_system: Any, tmp_path: Path):
    url = f"tls://{serve_system()}"
    code, said = asyncio.run(examined(tmp_path, url, login=LOGIN))
    (line,) = about(said, "connection")
    assert code == 3
    assert line.startswith(f"✗ connection the certificate of {url} is not valid")
    assert "give its authority with --tlsca" in line


def test_a_server_wants_a_client_certificate(serve_system: Any, certificates: Path, tmp_path: Path):
    url, ca = f"tls://{serve_system('verify: true')}", str(certificates / "ca.pem")
    code, said = asyncio.run(examined(tmp_path, url, login=LOGIN, ca=ca))
    (line,) = about(said, "connection")
    assert code == 3
    assert "requires a client certificate that it trusts: --tlscert and --tlskey" in line


def test_how_long_a_client_certificate_lasts_is_told(
    serve_system: Any, certificates: Path, tmp_path: Path
):
    url = f"tls://{serve_system('verify: true')}"
    ca, cert, key = (str(certificates / name) for name in ("ca.pem", "client.pem", "client.key"))
    code, said = asyncio.run(examined(tmp_path, url, login=LOGIN, ca=ca, cert=cert, key=key))
    # It was made for two days a moment ago, of which none is lost yet.
    assert (code, about(said, "credentials")) == (0, ["✓ credentials they expire in 2 days"])
