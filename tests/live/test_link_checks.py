"""Checks about links and listeners on real servers: causes, findings and cures."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kit.watching import Watch, watching
from nats_insights.checks.cluster.gateway_mismatch import gateway_mismatch
from nats_insights.checks.server.certificate_expiry import certificate_expiry
from nats_insights.checks.server.server_not_answering import server_not_answering
from nats_insights.lab.servers import conf, local

pytestmark = [pytest.mark.live, pytest.mark.long]

CHECKS = (certificate_expiry, gateway_mismatch, server_not_answering)

# Old servers do not tell when a certificate ends.
SILENT_ABOUT_CERTIFICATES = ("2.10.26", "2.11.11")

# Else GATEWAYZ is requested every two minutes.
OFTEN = 'gather.every.GATEWAYZ = "0s"\n'


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
    async with watching(system, listen="n1", checks=CHECKS) as watch:
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
    async with watching(system, listen="n1", checks=CHECKS) as watch:
        await watch.until(lambda: len(watch.open) == 2)
        assert watch.named("SERVER_902") == {"client", "websocket"}
        assert {said.severity for said in watch.open.values()} == {"warning"}


EAST = {"EAST": ("e1", "e2", "e3"), "WEST": ("w1",)}


def tls_alone(system: local.System, home: Path) -> str:
    """The gateway of e3 as it was, but that it wants TLS, which the other cluster does not use."""
    west = f"{{ name: WEST, url: 'nats://{conf.LOOPBACK}:{system['w1'].port}' }}"
    return (
        f"gateway {{ name: EAST, listen: '{conf.LOOPBACK}:-1', gateways: [{west}], "
        f"{tls(home, 'e3', 400)} }}"
    )


CAUSES = {
    "it has none": (lambda system, home: "gateway {}", False),
    "it alone uses TLS": (tls_alone, True),
}


@pytest.mark.parametrize(("options", "configured"), CAUSES.values(), ids=CAUSES)
async def test_a_server_without_a_gateway_that_its_peers_have_is_found_until_it_has_it(
    start_system, tmp_path, options, configured
):
    system = start_system(EAST)
    async with watching(system, agent="e1", listen="e2", more=OFTEN, checks=CHECKS) as watch:
        await watch.epochs(2)
        assert watch.story == []
        system["e3"].options = options(system, tmp_path)
        system["e3"].restart(settle=False)
        await watch.until(lambda: watch.open)
        await watch.epochs(2)
        assert watch.story == [("opened", "CLUSTER_008", "WEST")]
        (opened,) = watch.advisories
        assert opened.summary == "e3 has no gateway to WEST, which 2 of 3 servers of EAST have"
        assert opened.entity.server == "e3"
        assert opened.evidence["configured"] is configured
        system["e3"].options = ""
        system["e3"].restart()
        await watch.until(lambda: not watch.open)
        assert watch.story[1:] == [("resolved", "CLUSTER_008", "WEST")]


async def test_a_gateway_to_a_silent_cluster_is_not_reported_beside_its_silence(start_system):
    system = start_system(EAST)
    soon = 'gather.timeout = "200ms"\n'
    async with watching(system, agent="e1", listen="e2", more=OFTEN + soon, checks=CHECKS) as watch:
        await watch.epochs(2)
        system["w1"].freeze()
        await watch.until(lambda: watch.open)
        system["e3"].restart(settle=False)
        # The others keep their connections, which the frozen server does not close.
        await watch.until(lambda: held_back(watch, "CLUSTER_008"))
        await watch.epochs(4)
        assert held_back(watch, "CLUSTER_008")
        assert watch.story == [("opened", "SERVER_901", "w1")]
        system["w1"].thaw()
        await watch.until(lambda: not watch.open and not held_back(watch, "CLUSTER_008"))
        await watch.epochs(2)
        assert watch.story[1:] == [("resolved", "SERVER_901", "w1")]


def held_back(watch: Watch, code: str) -> bool:
    """Whether a finding waits, because another one explains it."""
    lives = watch.agent.auditor.lives.items()
    return any(life.explained_by and not life.is_open for key, life in lives if key.code == code)
