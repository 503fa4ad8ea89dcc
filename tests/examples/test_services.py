"""The agent as a service: the unit and the manifest use what exists, and give little away.

They are read by the programs that run them, where there are these: `systemd-analyze`, `kubectl` and
the Python package `kubernetes-validate`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.programs import EXAMPLES
from kit.systemd import Manager
from nats_insights import config
from nats_insights.__main__ import parser
from nats_insights.connection import contexts
from nats_insights.judge.pace import Pace
from nats_insights.lab.servers import local
from nats_insights.lab.servers.jwts import Operator
from nats_insights.replies.endpoint import endpoints
from nats_insights.tell.permissions import claims

UNIT = (EXAMPLES / "systemd" / "nats-insights.service").read_text()
KUBERNETES = EXAMPLES / "kubernetes"
PAGE = (EXAMPLES.parent / "docs" / "install.md").read_text()
# The oldest that is still looked after, and one after it.
VERSIONS = ("1.33", "1.36")


def unit() -> dict[str, list[str]]:
    """The settings of the unit: what each was given, once or several times."""
    settings: dict[str, list[str]] = {}
    for line in UNIT.replace("\\\n", "").splitlines():
        assert re.fullmatch(r"|#.*|\[(Unit|Service|Install)\]|[A-Za-z]+=.*", line), line
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            settings.setdefault(name, []).append(value)
    return settings


def test_the_unit_runs_a_command_that_exists():
    (command,) = unit()["ExecStart"]
    program, *arguments = shlex.split(command)
    assert program.endswith("/nats-insights")
    read = parser().parse_args(arguments)
    assert read.config.name == "agent.toml"
    assert [str(read.state.parent)] == [f"%S/{name}" for name in unit()["StateDirectory"]]


def test_the_unit_logs_in_with_the_credentials_that_it_loads():
    variables = dict(setting.split("=") for setting in unit()["Environment"])
    settings = contexts.settings({}, variables | {"HOME": "/"})
    assert settings.servers == ("nats://127.0.0.1:4222",)
    assert [settings.creds] == [
        f"%d/{loaded.partition(':')[0]}" for loaded in unit()["LoadCredential"]
    ]


def hung_up(*command: str) -> int:
    """What a process ends with that gets the signal of a command; PID stands for its id."""
    with subprocess.Popen(["sleep", "60"]) as sleeping:
        words = [word.replace("PID", str(sleeping.pid)) for word in command]
        subprocess.run(words, check=True)
        return sleeping.wait(10)


def test_the_unit_reloads_by_a_hang_up():
    (command,) = unit()["ExecReload"]
    assert hung_up(*shlex.split(command.replace("$MAINPID", "PID"))) == -signal.SIGHUP


def test_the_unit_starts_the_agent_again_whenever_it_ends():
    settings = unit()
    assert (settings["Restart"], settings["StartLimitIntervalSec"]) == (["always"], ["0"])
    assert settings["DynamicUser"] == ["yes"]


def test_the_watchdog_of_the_unit_waits_longer_than_heartbeats_are_missed_for():
    (minutes,) = re.findall(r"^WatchdogSec=(\d+)min$", UNIT, re.M)
    defaults = config.Config()
    assert unit()["Type"] == ["notify"]
    assert 60 * int(minutes) >= Pace(defaults.interval, defaults.gather).silent_after


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The unit, with a program that is on this machine."""
    program = Path(sys.executable).parent / "nats-insights"
    file = tmp_path / "nats-insights.service"
    file.write_text(UNIT.replace("/usr/local/bin/nats-insights", str(program)))
    return file


def analyzed(verb: str, file: Path, *flags: str) -> tuple[int, str]:
    """The exit code of `systemd-analyze`, and all that it says."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("there is no systemd-analyze on this machine")
    done = subprocess.run(
        [analyze, verb, "--no-pager", *flags, str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout


def test_systemd_understands_every_line_of_the_unit(installed):
    assert analyzed("verify", installed, "--man=no") == (0, "")
    installed.write_text(installed.read_text().replace("WatchdogSec", "WatchDogSec"))
    assert "'WatchDogSec'" in analyzed("verify", installed, "--man=no")[1]


def test_systemd_finds_the_unit_well_confined(installed):
    # Of ten, in tenths; most of what is left is that it uses the network.
    code, said = analyzed("security", installed, "--offline=true", "--threshold=15")
    assert code == 0, said


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    made = Manager(str(tmp_path / "notify"))
    with made.socket:
        yield made


@pytest.mark.live
def test_the_unit_runs_as_systemd_would_run_it(start, manager, tmp_path):
    operator = Operator()
    system = operator.account("SYS")
    user = system.user("agent", **json.loads(claims(endpoints().values())))
    url = start(local.server, authorization=operator.configuration(system))["n1"].url
    settings, loaded = unit(), tmp_path / "credentials"
    (credentials,) = settings["LoadCredential"]
    loaded.mkdir()
    (loaded / credentials.partition(":")[0]).write_text(user.creds)
    given = dict(one.replace("%d", str(loaded)).split("=", 1) for one in settings["Environment"])
    (tmp_path / "agent.toml").write_text('interval = "500ms"\n')
    (command,) = settings["ExecStart"]
    command = command.replace("/usr/local/bin", str(Path(sys.executable).parent))
    command = command.replace("/etc/nats-insights", str(tmp_path)).replace("%S", str(tmp_path))
    (tmp_path / "nats-insights").mkdir(mode=0o700)
    environment = {"PATH": "/usr/bin:/bin", "NOTIFY_SOCKET": manager.address, **given}
    with subprocess.Popen(
        shlex.split(command),
        env=environment | {"NATS_URL": url, "WATCHDOG_USEC": "180000000"},
        stderr=subprocess.PIPE,
        text=True,
    ) as service:
        try:
            first = manager.heard()
            assert (first["READY"], first["STATUS"]) == (
                "1",
                "ok: 1 of 1 servers answered, 0 open in epoch 1",
            )
            (reload,) = settings["ExecReload"]
            subprocess.run(shlex.split(reload.replace("$MAINPID", str(service.pid))), check=True)
            assert service.stderr is not None
            while "the configuration was reloaded" not in service.stderr.readline():
                assert service.poll() is None
            service.terminate()
            while "STOPPING" not in (said := manager.heard()):
                assert said["WATCHDOG"] == "1"
            assert service.wait(20) == 0
            assert [*(tmp_path / "nats-insights").iterdir()]
        finally:
            service.kill()


def shown(heading: str) -> str:
    """The commands below this heading of the page."""
    section = PAGE.partition(f"### {heading}\n")[2].partition("\n## ")[0]
    (first, *_) = re.findall(r"```sh\n(.*?)```", section, re.S)
    return str(first)


def test_the_page_puts_all_in_place_that_the_unit_reads(tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for name, does in (("sudo", 'exec "$@"'), ("systemctl", f'echo "$@" > {tmp_path}/told')):
        (tools / name).write_text(f"#!/bin/sh\n{does}\n")
        (tools / name).chmod(0o755)
    for place in ("/usr/local/bin", "/etc/nats-insights", "/etc/systemd/system"):
        (tmp_path / place[1:]).mkdir(parents=True)
    (tmp_path / "agent.creds").write_text("creds")
    (tmp_path / "examples").symlink_to(EXAMPLES)
    commands = re.sub(r" (/(usr|etc|opt)/)", rf" {tmp_path}\1", shown("systemd"))
    path = f"{tools}:{os.environ['PATH']}"
    subprocess.run(["sh", "-ec", commands], cwd=tmp_path, env={"PATH": path}, check=True)
    installed = tmp_path / "etc/systemd/system/nats-insights.service"
    assert installed.read_text() == UNIT
    (start,), (credentials,) = unit()["ExecStart"], unit()["LoadCredential"]
    program, *arguments = shlex.split(start)
    assert (tmp_path / program[1:]).is_symlink()
    config.parse((tmp_path / str(parser().parse_args(arguments).config)[1:]).read_text())
    secret = tmp_path / credentials.partition(":")[2][1:]
    assert (secret.read_text(), secret.stat().st_mode & 0o777) == ("creds", 0o600)
    assert (tmp_path / "told").read_text() == "enable --now nats-insights\n"


# --- Kubernetes.


@pytest.fixture(scope="module")
def rendered() -> list[dict[str, Any]]:
    """What `kubectl apply -k` would send, as documents."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("there is no kubectl on this machine")
    yaml = pytest.importorskip("yaml", reason="there is no PyYAML in this environment")
    done = subprocess.run([kubectl, "kustomize", KUBERNETES], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return [*yaml.safe_load_all(done.stdout)]


def of_kind(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = (document for document in documents if document["kind"] == kind)
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_understands_every_field(rendered, version):
    validator = pytest.importorskip("kubernetes_validate", reason="there is no kubernetes-validate")
    assert {document["kind"] for document in rendered} == {"ConfigMap", "Deployment"}
    for document in rendered:
        assert validator.validate(document, version, strict=True) == version
    typo = of_kind(rendered, "Deployment") | {"spek": {}}
    with pytest.raises(validator.ValidationError, match="spek"):
        validator.validate(typo, version, strict=True)


def test_the_page_makes_the_secret_that_the_deployment_mounts(rendered, tmp_path):
    (tmp_path / "agent.creds").write_text("creds")
    first, second = shown("Kubernetes").splitlines()
    assert shlex.split(second) == ["kubectl", "apply", "-k", "examples/kubernetes"]
    done = subprocess.run(
        [*shlex.split(first), "--dry-run=client", "--output=json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    secret = json.loads(done.stdout)
    assert secret["data"].keys() == {"agent.creds"}
    volume, _ = of_kind(rendered, "Deployment")["spec"]["template"]["spec"]["volumes"]
    named = [part["secret"]["name"] for part in volume["projected"]["sources"] if "secret" in part]
    assert named == [secret["metadata"]["name"]]


def test_the_deployment_runs_the_agent_without_rights(rendered):
    deployment = of_kind(rendered, "Deployment")["spec"]
    pod = deployment["template"]["spec"]
    assert deployment["selector"]["matchLabels"] == deployment["template"]["metadata"]["labels"]
    assert pod["automountServiceAccountToken"] is False
    user = int(re.search(r"^USER (\d+):", (EXAMPLES.parent / "Dockerfile").read_text(), re.M)[1])
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": user,
        "fsGroup": user,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_the_deployment_runs_commands_that_exist_with_files_that_it_mounts(rendered):
    (container,) = of_kind(rendered, "Deployment")["spec"]["template"]["spec"]["containers"]
    volume, disk = of_kind(rendered, "Deployment")["spec"]["template"]["spec"]["volumes"]
    mount, written = container["volumeMounts"]
    assert (mount["name"], mount["readOnly"]) == (volume["name"], True)
    assert (written["name"], "emptyDir" in disk) == (disk["name"], True)
    files = of_kind(rendered, "ConfigMap")
    sources = [source for part in volume["projected"]["sources"] for source in part.items()]
    assert sources == [
        ("secret", {"name": "nats-insights"}),
        ("configMap", {"name": files["metadata"]["name"]}),
    ]
    arguments = parser().parse_args(container["args"])
    assert str(arguments.config) == f"{mount['mountPath']}/agent.toml"
    assert str(arguments.state.parent) == written["mountPath"]
    program, *words = container["readinessProbe"]["exec"]["command"]
    assert program == "nats-insights"
    assert parser().parse_args(words)
    assert container["env"] == [
        {"name": "NATS_CONTEXT", "value": f"{mount['mountPath']}/context.json"}
    ]
    assert files["data"].keys() == {"agent.toml", "context.json"}


def test_the_configuration_and_the_context_can_be_read():
    assert config.parse((KUBERNETES / "agent.toml").read_text()).id == "kubernetes"
    settings = contexts.settings({"context": str(KUBERNETES / "context.json")}, {})
    assert settings.servers == ("nats://nats.nats.svc:4222",)
    assert settings.creds == "/etc/nats-insights/agent.creds"


def test_no_manifest_holds_a_secret():
    for file in KUBERNETES.iterdir():
        assert not re.search(r"kind: Secret|BEGIN|password|\bS[UAO][A-Z2-7]{56}", file.read_text())
