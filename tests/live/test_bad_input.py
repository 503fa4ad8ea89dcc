"""The command line against wrong input and real servers: one clear sentence, the right exit code,
and never a secret."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import jsonschema_rs
import pytest

from kit.watching import watching
from nats_insights.lab.demo.stage import login
from nats_insights.lab.servers import local
from nats_insights.replies.endpoint import endpoints
from nats_insights.replies.statsz import STATSZ
from nats_insights.tell.schemas import schemas

pytestmark = pytest.mark.live

Cli = Callable[..., CompletedProcess[str]]
SECRET = "a-secret-that-nobody-sees"


@pytest.fixture(scope="module")
def system(binary: Path) -> Iterator[local.System]:
    with local.cluster("n1", "n2", binary=binary, options="max_connections: 40") as system:
        yield system


def environment(**more: str) -> dict[str, str]:
    """The variables of this process, save those of NATS, and these."""
    return {key: value for key, value in os.environ.items() if not key.startswith("NATS_")} | more


def logged_in(server: local.Server, user: str = "agent") -> dict[str, str]:
    """The variables by which a program logs in."""
    name, password = server.user(user)
    return {"NATS_URL": server.url, "NATS_USER": name, "NATS_PASSWORD": password}


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """`cli("check", "--own", NATS_USER="app")`: the program in an environment of its own."""

    def cli(*arguments: object, **more: str) -> CompletedProcess[str]:
        env = environment(XDG_CONFIG_HOME=str(tmp_path), **more)
        done = subprocess.run(
            [sys.executable, "-m", "nats_insights", *map(str, arguments)],
            env=env,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        said = done.stdout + done.stderr
        assert "Traceback" not in said
        assert env.get("NATS_PASSWORD", SECRET) not in said
        return done

    return cli


def sentence(done: CompletedProcess[str]) -> str:
    """The one line that a refusal prints; `run` logs that it connected before."""
    assert (done.returncode, done.stdout) == (3, "")
    *log, line = done.stderr.splitlines()
    assert [said for said in log if " INFO " not in said] == []
    prefix, _, said = line.partition(": ")
    assert prefix.startswith("nats-insights")
    return said


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_wrong_password(cli, system, command):
    login = logged_in(system["n1"]) | {"NATS_PASSWORD": SECRET}
    said = sentence(cli(command, **login))
    assert "password" in said


@pytest.mark.parametrize("command", ["check", "run", "findings"])
def test_nobody_listens(cli, command):
    (port,) = local._free_ports(1)
    said = sentence(cli(command, NATS_URL=f"nats://127.0.0.1:{port}"))
    assert "Connection refused" in said


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_user_of_an_ordinary_account(cli, system, command):
    said = sentence(cli(command, **logged_in(system["n1"], "app")))
    assert "user app of account APP, which is not the system account" in said


def test_a_server_where_nobody_is_in_the_system_account(cli, start_server):
    server = start_server("n1", authorization="")["n1"]
    said = sentence(cli("check", NATS_URL=server.url))
    assert "not the system account" in said


def test_a_server_without_tls(cli, system):
    login = logged_in(system["n1"]) | {"NATS_URL": system["n1"].url.replace("nats:", "tls:")}
    said = sentence(cli("check", **login))
    assert "offers no TLS" in said


def test_credentials_with_a_seed_and_no_jwt(cli, tmp_path):
    seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"
    creds = tmp_path / "half.creds"
    creds.write_text(f"-----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n")
    said = sentence(cli("check", NATS_CREDS=str(creds)))
    assert "half.creds" in said
    assert seed not in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("intervall = '1s'", "no key intervall; did you mean interval?"),
        ("[lifecycle]\nsetle = '1s'", "lifecycle.setle; did you mean lifecycle.settle?"),
        ("interval = '1ms'", "interval is refused"),
        ("[checks.connection_hotspot]\nratio = 0.5", "checks.connection_hotspot.ratio is refused"),
        ("[checks.connection_hotspt]\nratio = 3.0", "connection_hotspot"),
        ("interval = ", "not TOML"),
    ],
)
def test_a_configuration_that_is_wrong(cli, tmp_path, text, said):
    config = tmp_path / "agent.toml"
    config.write_text(text)
    assert said in sentence(cli("check", "--config", config))


def test_a_flag_that_does_not_exist_is_no_verdict(cli):
    assert "--frmat" in sentence(cli("check", "--frmat", "json"))


def restricted(*allowed: str) -> str:
    """A system whose user `agent` may ask only this, and hear replies."""
    publish = ", ".join(json.dumps(subject) for subject in allowed)
    return f"""
        accounts {{ SYS: {{ users: [{{ user: agent, password: {SECRET}, permissions: {{
            publish: {{ allow: [{publish}] }}
            subscribe: {{ allow: ["_INBOX.insights.>"] }}
        }} }}] }} }}
        system_account: SYS"""


def test_a_missing_permission_makes_one_check_unknown(cli, start_server):
    small = ("VARZ", "STATSZ", "ROUTEZ", "SUBSZ", "ACCOUNTZ", "GATEWAYZ")
    allowed = [f"$SYS.REQ.SERVER.*.{name}" for name in small]
    allowed += ["$SYS.REQ.USER.INFO", "$SYS.REQ.ACCOUNT.PING.STATZ"]
    server = start_server("n1", authorization=restricted(*allowed))["n1"]
    done = cli(
        "check", "--format", "json", NATS_URL=server.url, NATS_USER="agent", NATS_PASSWORD=SECRET
    )
    assert (done.returncode, done.stderr) == (3, "")
    status = json.loads(done.stdout)["status"]
    blind = {code for one in status["not_evaluated"] for code in (one["code"], *one["others"])}
    assert "USER_002" in blind
    assert "SERVER_011" not in blind


def test_who_may_not_ask_how_many_servers_there_are_hears_them_all_the_same(
    cli, start_server, tmp_path
):
    config = tmp_path / "agent.toml"
    config.write_text('gather = { timeout = "500ms" }')
    asked = [endpoint.subject() for endpoint in endpoints().values() if endpoint is not STATSZ]
    allowed = [subject.replace("SERVER.PING.", "SERVER.*.") for subject in asked]
    server = start_server("n1", authorization=restricted("$SYS.REQ.USER.INFO", *allowed))["n1"]
    login = {"NATS_URL": server.url, "NATS_USER": "agent", "NATS_PASSWORD": SECRET}
    done = cli("check", "--format", "json", "--config", config, **login)
    assert done.returncode == 0
    status = json.loads(done.stdout)["status"]
    assert (status["coverage"]["servers_answered"], status["checks_not_evaluated"]) == (1, 0)


def test_a_user_that_may_not_hear_replies(cli, start_server):
    text = restricted("$SYS.REQ.>").replace("_INBOX.insights.>", "_INBOX.other.>")
    server = start_server("n1", authorization=text)["n1"]
    said = sentence(cli("check", NATS_URL=server.url, NATS_USER="agent", NATS_PASSWORD=SECRET))
    assert "the user lacks the permission for _INBOX.insights.>;" in said


def test_a_user_that_may_not_ask_varz(cli, start_server):
    server = start_server("n1", authorization=restricted("$SYS.REQ.USER.INFO"))["n1"]
    said = sentence(cli("check", NATS_URL=server.url, NATS_USER="agent", NATS_PASSWORD=SECRET))
    assert "the user lacks the permission for $SYS.REQ.SERVER.*.VARZ;" in said


def test_an_agent_that_nobody_would_hear_does_not_run(cli, start_server):
    server = start_server("n1", authorization=restricted("$SYS.REQ.>"))["n1"]
    said = sentence(cli("run", NATS_URL=server.url, NATS_USER="agent", NATS_PASSWORD=SECRET))
    assert said == (
        "the user may neither publish $INSIGHTS.> nor answer INSIGHTS.API.*, so nobody would hear "
        "of any finding; `nats-insights permissions` prints the whole list"
    )


def test_a_check_that_raises_leaves_the_others_alone(cli, system, tmp_path):
    package = tmp_path / "broken_checks"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "broken.py").write_text(RAISES)
    login = logged_in(system["n1"]) | {"PYTHONPATH": str(tmp_path)}
    done = cli("check", "--checks", "broken_checks", "--format", "json", **login)
    assert done.returncode == 3
    status = json.loads(done.stdout)["status"]
    (blind,) = (one for one in status["not_evaluated"] if not one["excused"])
    assert (blind["code"], "ZeroDivisionError" in blind["why"]) == ("SERVER_999", True)


RAISES = '''
from nats_insights.check import INFO, VARZ, Finding, Server, check


@check("SERVER_999", INFO, "saturation", needs=(VARZ,))
def broken(server: Server) -> Finding | None:
    """It divides by zero.

    Finds: nothing, ever.

    Why: it is broken.

    Do: mend it.
    """
    return 1 / 0
'''


def test_a_package_of_checks_that_does_not_exist(cli):
    assert "no_such_package" in sentence(cli("check", "--checks", "no_such_package"))


async def test_exit_codes_are_the_verdict(cli, system, crowd):
    user, password = system.user("app")
    login = logged_in(system["n1"])
    assert cli("check", **login).returncode == 0
    members = await crowd.join(system["n1"].url, 20, user=user, password=password)
    assert cli("check", **login).returncode == 0  # A hotspot is info.
    await crowd.join(system["n1"].url, 14, user=user, password=password)
    assert cli("check", **login).returncode == 1
    await crowd.join(system["n1"].url, 4, user=user, password=password)
    done = cli("check", "--format", "json", **login)
    assert done.returncode == 2
    reply = json.loads(done.stdout)
    jsonschema_rs.validate(schemas()[reply["type"]], reply)
    assert reply["findings"][0]["code"] == "SERVER_011"
    assert len(members) == 20


async def test_findings_of_a_silent_server_are_no_verdict(cli, start_cluster, tmp_path):
    system = start_cluster("a1", "a2")
    config = tmp_path / "agent.toml"
    config.write_text('gather = { timeout = "200ms" }')
    system["a2"].freeze()
    done = cli("check", "--config", config, **logged_in(system["a1"]))
    assert done.returncode == 3
    assert "a2" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_agent_in_good_order(system, number):
    with subprocess.Popen(
        [sys.executable, "-m", "nats_insights", "run", "--interval", "100ms"],
        env=environment(**logged_in(system["n1"])),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        said = running.stdout.readline()
        assert "connected to" in said
        running.send_signal(number)
        rest = running.communicate(timeout=30)[0]
    assert running.returncode == 0
    assert "Traceback" not in rest


HOSTILE = "a b.c*>\r\nx\x1b[31m\x00\u202e{0}%"


async def test_advisories_arrive_where_messages_are_small_and_names_are_hostile(
    start_cluster, crowd
):
    system = start_cluster(
        "n1", "n2", options="max_payload: 4096", accounts={"we ird.*>": ("us er.\t{0}>",)}
    )
    user, password = system.user("us er.\t{0}>")
    name = HOSTILE + "n" * 1500
    for _ in range(2):
        await crowd.join(
            system["n1"].url, 51, user=user, password=password, name=name, subscriptions=2
        )
    async with watching(system, listen=login(system, "root", "n2")) as watch:
        await watch.until(lambda: len(watch.open) == 3)
        codes = {code for code, _ in watch.open}
        assert codes == {"USER_002", "OPT_BALANCE_002", "OPT_BALANCE_003"}
        assert watch.named("USER_002") == {user}
        await watch.epochs(2)
        assert len(watch.story) == 3
        for message in watch.messages:
            headers = "".join(f"{k}: {v}\r\n" for k, v in (message.headers or {}).items())
            assert len(message.data) + len(f"NATS/1.0\r\n{headers}\r\n".encode()) <= 4096
            said = json.loads(message.data)
            jsonschema_rs.validate(schemas()[said["type"]], said)
