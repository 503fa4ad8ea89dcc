"""`python -m nats_insights.lab`: systems that run until they are stopped."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.live
LAB = [sys.executable, "-m", "nats_insights.lab"]


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nats_insights", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_servers_run_until_stopped_and_can_be_audited():
    command = [*LAB, "servers", "EU=n1,n2", "--leaf", "edge=n1", "--jetstream"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        said = ""
        for line in running.stdout:
            said += line
            if line.startswith("ready"):
                break
        contexts = re.findall(r"--context (\S+)", said)
        checked = program("check", "--context", contexts[0])
        kept = program("assets", "apply", "--context", contexts[-1])
        running.terminate()
    assert [line.split()[:2] for line in said.splitlines()[:3]] == [
        ["n1", "EU"],
        ["n2", "EU"],
        ["edge", "-"],
    ]
    assert "3 of 3 servers answered" in checked.stdout
    assert re.findall(r"^(\w+) +created", kept.stdout, re.M)[:2] == ["INSIGHTS", "INSIGHTS_STATE"]
    assert running.returncode == 0
    assert [path for path in contexts if Path(path).exists()] == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["EU=n1,n1"], "error: 'EU=n1,n1' lacks a name, or repeats one: write EU=n1,n2,n3\n"),
        (
            ["n1", "--leaf", "edge=n2"],
            "error: --leaf 'edge=n2': write NAME=HUB, where HUB is one of the servers\n",
        ),
    ],
)
def test_servers_that_cannot_be_are_refused_in_one_sentence(arguments, sentence):
    done = subprocess.run([*LAB, "servers", *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (3, sentence)
