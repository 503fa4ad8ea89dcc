"""The commands that the README and the page on installing show, run on a real system."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from asyncio.subprocess import PIPE, Process, create_subprocess_exec
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kit.programs import ask, connected, environment, line
from nats_insights.lab.servers.context import context_file

pytestmark = pytest.mark.live

ROOT = Path(__file__).parents[2]
CLI = os.environ.get("NATS_CLI") or shutil.which("nats")


def shown(page: str, section: str) -> list[list[str]]:
    """The command lines in the shell blocks of a section, as words."""
    text = (ROOT / page).read_text()
    _, _, rest = text.partition(f"{section}\n")
    blocks = re.findall(r"```sh\n(.*?)```", rest.split("\n## ")[0], re.S)
    lines = "".join(blocks).splitlines()
    return [words for text in lines if (words := shlex.split(text, comments=True))]


USE = shown("README.md", "## Use it on your own system")
INSTALLED = shown("docs/install.md", "# Install")


@asynccontextmanager
async def running(words: list[str], env: Mapping[str, str]) -> AsyncIterator[Process]:
    """A command as it is shown, ended at last."""
    program, *arguments = words
    start = [CLI or ""] if program == "nats" else [sys.executable, "-m", "nats_insights"]
    process = await create_subprocess_exec(
        *start, *arguments, env=dict(env), stdout=PIPE, stderr=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@pytest.fixture
def contexts(start_cluster, tmp_path):
    """The variables with which the context of the pages is found, and those of a reader."""
    system = start_cluster("n1", "n2", "n3")
    home = tmp_path / "nats" / "context"
    home.mkdir(parents=True)
    shutil.copy(context_file(system, "agent", "n1"), home / "my-system.json")
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("NATS_")}
    operator = inherited | {"XDG_CONFIG_HOME": str(tmp_path)}
    return system, operator, environment(system["n2"], system.user("ops"))


def test_these_commands_are_shown():
    assert [words[:2] for words in USE] == [
        ["nats-insights", "doctor"],
        ["nats-insights", "check"],
        ["nats-insights", "run"],
        ["nats", "sub"],
        ["nats", "req"],
    ]
    assert [words[:2] for words in INSTALLED] == [
        ["nats-insights", "--version"],
        ["nats-insights", "doctor"],
    ]


async def test_they_do_what_the_pages_say(contexts):
    system, operator, reader = contexts
    version, doctor, check, run, sub, req = *INSTALLED[:1], *USE
    for words, said in ((version, "nats-insights "), (doctor, "✓"), (check, "OK: no findings")):
        async with running(words, operator) as process:
            assert said in (await process.stdout.read()).decode()
            assert await process.wait() == 0
    async with running(run, operator), connected(system["n2"], system.user("ops")) as client:
        assert (await ask(client, "STATUS"))["verdict"] == "ok"
        for comment in ("watch", "status"):
            async with running(["nats-insights", comment], reader) as process:
                assert await line(process, "● ok", "3 of 3 servers answered")
        assert sub[2] == "$INSIGHTS.ADVISORY.>"
        assert req[2:] == ["INSIGHTS.API.STATUS", ""]
        if CLI is not None:
            async with running(req, reader) as process:
                assert await line(process, '"verdict":"ok"')
