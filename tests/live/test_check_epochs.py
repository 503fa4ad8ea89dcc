"""`check` with one epoch and with two, on real servers: which checks it can decide."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest

from kit.programs import environment
from nats_insights.lab.servers import local

pytestmark = pytest.mark.live

CHURN = "SERVER_903"


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration in the working directory: a busy machine takes its time for a round trip."""
    monkeypatch.chdir(tmp_path)
    Path("agent.toml").write_text("[checks.SERVER_010]\nenabled = false\n")


async def check(system: local.System, *arguments: str) -> tuple[int, dict[str, Any]]:
    """The exit code of `check`, and what it prints."""
    server = system["n1"]
    options = ["--config", "agent.toml", "--format", "json", *arguments]
    command = [sys.executable, "-m", "nats_insights", "check", *options]
    login = system.user("agent")
    program = await create_subprocess_exec(*command, env=environment(server, login), stdout=PIPE)
    said, _ = await program.communicate()
    assert program.returncode is not None
    return program.returncode, json.loads(said)


def why_not(said: dict[str, Any], code: str) -> list[tuple[str, bool]]:
    """Why a check was not evaluated, and whether that is excused; empty if it was."""
    rows = said["status"]["not_evaluated"]
    return [(row["why"], row["excused"]) for row in rows if code in (row["code"], *row["others"])]


async def test_one_epoch_names_what_needs_another_one_and_does_not_count_it(shared_cluster):
    exit_code, said = await check(shared_cluster)
    assert (exit_code, said["status"]["verdict"], said["findings"]) == (0, "ok", [])
    ((why, excused),) = why_not(said, CHURN)
    assert why == "needs a second epoch"
    assert excused


async def test_two_epochs_decide_what_one_cannot(shared_cluster):
    exit_code, said = await check(shared_cluster, "--epochs", "2", "--interval", "1s")
    assert (exit_code, said["status"]["verdict"], said["findings"]) == (0, "ok", [])
    assert why_not(said, CHURN) == []


async def test_two_epochs_find_what_happened_between_them(shared_cluster: local.System, crowd: Any):
    user, password = shared_cluster.user("app")
    arguments = ("--epochs", "2", "--interval", "3s")
    checking = asyncio.create_task(check(shared_cluster, *arguments))
    while not checking.done():
        url = shared_cluster["n2"].url
        await crowd.leave(await crowd.join(url, 10, user=user, password=password))
    exit_code, said = await checking
    assert (exit_code, said["status"]["verdict"]) == (1, "warning")
    found = {(one["code"], one["entity"]["name"]) for one in said["findings"]}
    assert {(code, name) for code, name in found if code == CHURN} == {(CHURN, "n2")}
