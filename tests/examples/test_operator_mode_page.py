"""Every command of docs/operator-mode.md, run for real until a finding reaches the subscriber.

`NATS_CLI` and `NSC` name the programs, which are else looked for on PATH.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import suppress

import pytest

from kit.between import free_ports
from kit.operator_page import PAGE, WAYS, blocks, workplace

pytestmark = pytest.mark.live

THEN = "The agent and its first finding"
# Commands that run until they are ended, and what tells that they do their work.
STARTS = {
    "nats-server": "Server is ready",
    "nats-insights run": "connected to",
    "nats sub": "Subscribing on",
    "nats bench": "",
}
# Waits for a line in a file, which is empty at first.
WAIT = """
wait_for() {
  for _ in $(seq 600); do grep -q -- "$1" "$2" && return; sleep 0.1; done
  echo "in vain for '$1':"; cat "$2"; exit 1
}
"""


def script(found: list[str]) -> str:
    """All blocks as one script; what runs on is put into the background."""
    lines = ["set -eu", WAIT]
    for number, block in enumerate(found):
        runs_on = [ready for start, ready in STARTS.items() if block.startswith(start)]
        if not runs_on:
            lines.append(block)
            continue
        log = f"{number}.log"
        lines += [f": > {log}", f"{block.strip()} >> {log} 2>&1 &"]
        if runs_on[0]:
            lines.append(f"wait_for '{runs_on[0]}' {log}")
        if block.startswith("nats sub"):
            lines.append(f"received={log}")
        if block.startswith("nats bench"):
            lines.append('wait_for "holds 12 connections" $received')
    return "\n".join([*lines, "cat $received"])


def test_every_block_of_commands_is_run():
    assert len([*blocks(*WAYS, THEN)]) == PAGE.read_text().count("```") / 2


@pytest.mark.timeout(180)
@pytest.mark.parametrize("way", WAYS)
def test_the_page_leads_to_a_finding(way, binary, version, tmp_path):
    home, environment = workplace(tmp_path, way, binary)
    text = script([*blocks(way, THEN)])
    (port,) = free_ports(1)
    text = text.replace("127.0.0.1:4222", f"127.0.0.1:{port}")
    running = subprocess.Popen(
        ["bash", "-c", text],
        cwd=home,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        process_group=0,
    )
    try:
        output, _ = running.communicate(timeout=150)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
    assert running.returncode == 0, output
    account = r"(A[A-Z2-7]{55}|APP)" if version.startswith("2.10.") else "APP"
    assert re.search(f"user web of account {account} holds 12 connections", output)
