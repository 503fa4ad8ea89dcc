"""The agent as a service: the unit and the manifest use what exists, and give little away."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess

import pytest

from kit.programs import EXAMPLES
from nats_insights import config
from nats_insights.__main__ import parser
from nats_insights.connection import contexts

UNIT = (EXAMPLES / "systemd" / "nats-insights.service").read_text()
MANIFEST = (EXAMPLES / "kubernetes" / "agent.yaml").read_text()


def unit() -> dict[str, list[str]]:
    """The settings of the unit: what each was given, once or several times."""
    settings: dict[str, list[str]] = {}
    for line in UNIT.splitlines():
        assert re.fullmatch(r"|#.*|\[(Unit|Service|Install)\]|[A-Za-z]+=.*", line)
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            settings.setdefault(name, []).append(value)
    return settings


def block(name: str) -> str:
    """What stands in the manifest below `name: |`, without its indent."""
    head, body = re.search(rf"^( +){re.escape(name)}: \|\n((?:\1  .*\n)+)", MANIFEST, re.M).groups()
    return re.sub(rf"^{head}  ", "", body, flags=re.M)


def argument_lists() -> dict[str, list[str]]:
    """The commands of the manifest, which stand in it as JSON."""
    found = re.findall(r"\b(args|command): (\[.*?\])", MANIFEST)
    return {name: json.loads(arguments) for name, arguments in found}


def test_the_unit_runs_a_command_that_exists():
    (command,) = unit()["ExecStart"]
    program, *arguments = shlex.split(command)
    assert program.endswith("/nats-insights")
    assert parser().parse_args(arguments).config.name == "agent.toml"


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


def test_the_unit_and_the_manifest_reload_by_a_hang_up():
    (command,) = unit()["ExecReload"]
    assert hung_up(*shlex.split(command.replace("$MAINPID", "PID"))) == -signal.SIGHUP
    (command,) = re.findall(r"^#   kubectl exec POD -- (.*)$", MANIFEST, re.M)
    assert hung_up(*shlex.split(re.sub(r"\b1\b", "PID", command))) == -signal.SIGHUP


def test_the_unit_starts_the_agent_again_whenever_it_ends():
    settings = unit()
    assert (settings["Restart"], settings["StartLimitIntervalSec"]) == (["always"], ["0"])
    assert settings["DynamicUser"] == ["yes"]


def test_the_manifest_is_indented_by_two_and_without_tabs():
    for line in MANIFEST.splitlines():
        assert (len(line) - len(line.lstrip(" "))) % 2 == 0
        assert "\t" not in line


def test_the_manifest_runs_commands_that_exist():
    assert set(argument_lists()) == {"args", "command"}
    agent = parser().parse_args(argument_lists()["args"])
    assert str(agent.config) == "/etc/nats-insights/agent.toml"
    program, *arguments = argument_lists()["command"]
    assert program == "nats-insights"
    assert parser().parse_args(arguments)


def test_the_manifest_holds_a_configuration_and_a_context_that_can_be_read(tmp_path):
    assert config.parse(block("agent.toml")).id == "kubernetes"
    (variable,) = re.findall(r"\{name: (NATS_\w+), value: (\S+)\}", MANIFEST)
    assert variable == ("NATS_CONTEXT", "/etc/nats-insights/context.json")
    context = tmp_path / "context.json"
    context.write_text(block("context.json"))
    settings = contexts.settings({"context": str(context)}, {})
    assert settings.servers == ("nats://nats.nats.svc:4222",)
    assert settings.creds == "/etc/nats-insights/agent.creds"


@pytest.mark.parametrize(
    "line",
    [
        "automountServiceAccountToken: false",
        "runAsNonRoot: true",
        "runAsUser: 65532",
        "allowPrivilegeEscalation: false",
        "readOnlyRootFilesystem: true",
        "capabilities: {drop: [ALL]}",
    ],
)
def test_the_manifest_gives_no_rights_away(line):
    assert re.search(rf"^ +{re.escape(line)}$", MANIFEST, re.M)
