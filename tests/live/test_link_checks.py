"""Checks about links and listeners on real servers: causes, findings and cures."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kit.watching import watching
from nats_insights.lab.servers import conf

pytestmark = pytest.mark.live

# Old servers do not tell when a certificate ends.
SILENT_ABOUT_CERTIFICATES = ("2.10.26", "2.11.11")


def tls(home: Path, name: str, days: int) -> str:
    """TLS options with a certificate that has so many days left."""
    certificate, key = home / f"{name}-{days}.pem", home / f"{name}-{days}.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", str(days), "-subj", f"/CN={name}"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    return (
        f"tls {{ cert_file: {conf.quote(str(certificate))}, key_file: {conf.quote(str(key))} }}\n"
    )


def listeners(home: Path, client: int, websocket: int = 400) -> str:
    """TLS for clients, who may do without, and for WebSocket clients: days that are left."""
    return (
        f"allow_non_tls: true\n{tls(home, 'client', client)}"
        f"websocket {{ listen: '{conf.LOOPBACK}:-1', {tls(home, 'websocket', websocket)} }}\n"
    )


async def test_a_certificate_that_expires_is_found_until_it_is_renewed(
    start_server, tmp_path, version
):
    system = start_server("n1", options=listeners(tmp_path, 400))
    async with watching(system, listen="n1") as watch:
        await watch.epochs(2)
        assert watch.story == []
        system["n1"].reload(listeners(tmp_path, 5))
        if version in SILENT_ABOUT_CERTIFICATES:
            await watch.epochs(2)
            outcome = watch.agent.auditor.outcomes["SERVER_902"]
            assert outcome.why.endswith(f"not told by {version}")
            assert (watch.story, outcome.excused) == ([], True)
            return
        await watch.until(lambda: watch.open)
        assert watch.story == [("opened", "SERVER_902", "client")]
        (opened,) = watch.advisories
        assert (opened.severity, opened.entity.server) == ("critical", "n1")
        assert 4.9 < opened.value <= 5
        system["n1"].reload(listeners(tmp_path, 400))
        await watch.until(lambda: not watch.open)
        assert watch.story[1:] == [("resolved", "SERVER_902", "client")]


async def test_each_listener_has_a_certificate_of_its_own(start_server, tmp_path, version):
    if version in SILENT_ABOUT_CERTIFICATES:
        pytest.skip("it does not tell")
    system = start_server("n1", options=listeners(tmp_path, 20, 20))
    async with watching(system, listen="n1") as watch:
        await watch.until(lambda: len(watch.open) == 2)
        assert watch.named("SERVER_902") == {"client", "websocket"}
        assert {said.severity for said in watch.open.values()} == {"warning"}
