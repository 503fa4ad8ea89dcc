"""The page on monitoring plugins: its commands run, and its rules read what is printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from pathlib import Path
from xml.etree import ElementTree as xml

import pytest
from prometheus_client.parser import text_string_to_metric_families

from kit.programs import environment
from nats_insights.lab.servers import local

PAGE = (Path(__file__).parents[2] / "docs" / "monitoring-plugins.md").read_text()
PROMTOOL = shutil.which("promtool")


def block(language: str, word: str) -> str:
    """The only block in this language in which a word stands."""
    (found,) = (
        text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.S) if word in text
    )
    return found


async def shell(server: local.Server, script: str, directory: Path) -> tuple[int, str]:
    """The exit code of a script that a shell runs in this directory, and what it prints."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = environment(server, server.user("agent"), PATH=path)
    program = await create_subprocess_exec("sh", "-c", script, cwd=directory, env=env, stdout=PIPE)
    said, _ = await program.communicate()
    assert program.returncode is not None
    return program.returncode, said.decode()


@pytest.fixture
def server(start_server) -> local.Server:
    return start_server("n1")["n1"]


async def test_the_command_of_nagios_prints_a_status_line_with_performance_data(server, tmp_path):
    user, password = server.user("agent")
    context = tmp_path / "context.json"
    context.write_text(json.dumps({"url": server.url, "user": user, "password": password}))
    (line,) = re.findall(r"command_line +(.*)", block("nagios", "define command"))
    code, said = await shell(server, line.replace("$ARG1$", str(context)), tmp_path)
    first = said.splitlines()[0]
    assert (code, first.startswith("OK: no findings, 1 of 1 servers answered | critical=0")) == (
        0,
        True,
    )


async def test_the_file_for_node_exporter_is_there_and_has_what_the_rules_read(server, tmp_path):
    code, said = await shell(server, block("sh", "prometheus"), tmp_path)
    assert (code, said, [path.name for path in tmp_path.iterdir()]) == (0, "", ["insights.prom"])
    text = (tmp_path / "insights.prom").read_text()
    printed = {family.name for family in text_string_to_metric_families(text)}
    rules = block("yaml", "groups")
    read = set(re.findall(r"nats_insights_\w+", rules))
    assert len(read) == 3
    assert read <= printed


async def test_the_file_for_node_exporter_stays_where_nothing_could_be_audited(server, tmp_path):
    (tmp_path / "insights.prom").write_text("before")
    server.kill()
    await shell(server, block("sh", "prometheus"), tmp_path)
    assert (tmp_path / "insights.prom").read_text() == "before"


@pytest.mark.skipif(PROMTOOL is None, reason="there is no promtool")
async def test_promtool_takes_the_rules(tmp_path):
    (tmp_path / "rules.yml").write_text(block("yaml", "groups"))
    program = await create_subprocess_exec(
        PROMTOOL, "check", "rules", tmp_path / "rules.yml", stdout=PIPE
    )
    said, _ = await program.communicate()
    assert (program.returncode, "3 rules found" in said.decode()) == (0, True)


async def test_the_command_for_ci_writes_a_report(server, tmp_path):
    code, said = await shell(server, block("sh", "junit"), tmp_path)
    assert (code, said) == (0, "")
    (suite,) = xml.parse(tmp_path / "nats-insights.xml").getroot()
    assert (suite.get("name"), suite.get("failures")) == ("nats-insights", "0")
