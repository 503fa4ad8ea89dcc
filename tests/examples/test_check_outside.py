"""A package of checks that nobody but its owner knows of."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from kit.programs import EXAMPLES, connected, found
from nats_insights.__main__ import parser

HOME = EXAMPLES / "check_outside"


def test_its_own_tests_pass():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "."],
        cwd=HOME,
        env=os.environ | {"PYTHONPATH": str(HOME), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "test_contract.py" in done.stdout


def test_it_uses_only_what_is_made_for_it():
    imported = {
        name
        for file in HOME.rglob("*.py")
        for name in re.findall(r"nats_insights[\w.]*", file.read_text())
    }
    assert imported == {"nats_insights.check", "nats_insights.testing"}


def test_the_commands_that_its_page_shows_exist():
    commands = re.findall(
        r"^PYTHONPATH=\. nats-insights (.*)$", (HOME / "README.md").read_text(), re.M
    )
    assert [parser().parse_args(command.split()).checks for command in commands] == [
        ["acme_checks"],
        ["acme_checks"],
        ["acme_checks"],
    ]


def own(*command: str) -> str:
    """What the program prints of its checks and those of the example, without an agent."""
    done = subprocess.run(
        [sys.executable, "-m", "nats_insights", *command, "--checks", "acme_checks"],
        env=os.environ | {"PYTHONPATH": str(HOME), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_it_is_explained_and_listed_without_an_agent():
    assert "Most clients of an account set no name" in own("explain", "ACME_001")
    listed = json.loads(own("checks", "--format", "json"))["checks"]
    assert {"ACME_001", "SERVER_011"} <= {check["code"] for check in listed}
    assert listed[0]["last"] is None


@pytest.mark.live
async def test_check_runs_it_beside_all_others(system, run, crowd):
    user, password = system.user("app")
    for server in system:
        await crowd.join(server.url, 4, user=user, password=password, name="")
    program = await run(
        system["n1"],
        system.user("agent"),
        *("-m", "nats_insights", "check", "--checks", "acme_checks", "--format", "json"),
        PYTHONPATH=str(HOME),
    )
    said, _ = await program.communicate()
    assert [(finding["code"], finding["summary"]) for finding in json.loads(said)["findings"]] == [
        ("ACME_001", "12 of 12 connections of account APP have no name")
    ]


@pytest.mark.live
async def test_the_agent_runs_it_beside_all_others(system, run_agent, crowd):
    agent = system.user("agent")
    await run_agent(system["n1"], agent, "--checks", "acme_checks", PYTHONPATH=str(HOME))
    user, password = system.user("app")
    members = [
        await crowd.join(server.url, 4, user=user, password=password, name="") for server in system
    ]
    async with connected(system["n1"], agent) as client:
        await found(client, "ACME_001")
        for joined in members:
            await crowd.leave(joined)
        await found(client)
