"""The examples connect as the commands do: by contexts, creds, TLS, flags and variables."""

from __future__ import annotations

import json
import subprocess

import pytest

from kit.programs import EXAMPLES, line, until
from nats_insights.lab.servers import local
from nats_insights.lab.servers.jwts import Operator

HOOK = "http://127.0.0.1:9/s3cret"
SCRIPTS = {
    "subscribe.py": (),
    "ask.py": (),
    "alertmanager_bridge.py": ("http://127.0.0.1:9",),
    "webhook.py": (),
}
scripts = pytest.mark.parametrize(("script", "more"), SCRIPTS.items(), ids=SCRIPTS)


async def ended(program) -> tuple[int | None, str]:
    """Its exit code, and all that it printed."""
    said, _ = await program.communicate()
    return program.returncode, said.decode()


@pytest.fixture
def server(start):
    return start(local.server)["n1"]


@scripts
@pytest.mark.live
async def test_a_wrong_password_is_one_sentence(script, more, server, run):
    login = ("ops", "wr0ng")
    code, said = await ended(await run(server, login, EXAMPLES / script, *more, WEBHOOK_URL=HOOK))
    assert (code, said) == (
        1,
        f"{server.url} refused user 'ops': check the name and the password\n",
    )


@scripts
@pytest.mark.live
async def test_a_context_that_is_not_there_is_one_sentence(script, more, server, run, tmp_path):
    home = {"XDG_CONFIG_HOME": str(tmp_path), "WEBHOOK_URL": HOOK}
    arguments = (EXAMPLES / script, *more, "--context", "opps")
    code, said = await ended(await run(server, server.user("ops"), *arguments, **home))
    assert code == 1
    assert said.startswith("there is no context 'opps' in ")
    assert said.count("\n") == 1


@pytest.fixture
def secure(start, tmp_path):
    """A server of operator mode with TLS, and the context of a user of its system account."""
    made = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj /CN=localhost"
    )
    names = "-addext subjectAltName=DNS:localhost -keyout key.pem -out cert.pem"
    command = ["openssl", *made.split(), *names.split()]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    operator = Operator()
    system = operator.account("SYS")
    (tmp_path / "agent.creds").write_text(system.user("agent").creds)
    tls = f'tls {{ cert_file: "{tmp_path}/cert.pem", key_file: "{tmp_path}/key.pem" }}'
    server = start(local.server, authorization=f"{operator.configuration(system)}\n{tls}")["n1"]
    context = tmp_path / "nats" / "context" / "secure.json"
    context.parent.mkdir(parents=True)
    settings = {
        "url": f"tls://localhost:{server.url.rpartition(':')[2]}",
        "creds": str(tmp_path / "agent.creds"),
        "ca": str(tmp_path / "cert.pem"),
    }
    context.write_text(json.dumps(settings))
    return server, settings


def flags(settings: dict[str, str]) -> list[str]:
    names = {"url": "--server", "creds": "--creds", "ca": "--tlsca"}
    return [word for key, value in settings.items() for word in (names[key], value)]


@pytest.mark.live
async def test_a_context_with_creds_and_tls_is_taken_and_so_are_flags(secure, run, tmp_path):
    server, settings = secure
    nothing = {"NATS_URL": "", "NATS_USER": "", "NATS_PASSWORD": ""}
    home = nothing | {"XDG_CONFIG_HOME": str(tmp_path)}
    agent = await run(
        server, ("", ""), *("-m", "nats_insights", "run", "--context", "secure"), **home
    )
    await line(agent, "connected to tls://localhost:")

    async def asked(arguments: list[str], environment: dict[str, str]) -> tuple[int | None, str]:
        script = EXAMPLES / "ask.py"
        return await ended(await run(server, ("", ""), script, *arguments, **environment))

    async def answers() -> bool:
        code, said = await asked(["--context", "secure"], home)
        assert code == 0 or "no agent answers" in said or "first epoch" in said, said
        return code == 0

    await until(answers)
    for arguments, environment in (
        (["--context", "secure"], home),
        (flags(settings), nothing),
        ([], home | {"NATS_CONTEXT": "secure"}),
    ):
        code, said = await asked(arguments, environment)
        assert code == 0, said
        assert said.startswith("ok: 1 of 1 servers answered in epoch ")
    lonely = flags({key: settings[key] for key in ("url", "ca")})
    code, said = await asked(lonely, nothing)
    assert code == 1
    assert "requires credentials" in said
