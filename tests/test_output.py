"""What becomes of a command whose output cannot be written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXPLAIN = [sys.executable, "-m", "nats_insights", "explain", "USER_002", "--own"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_full_disk_is_told_in_one_sentence(form):
    with open("/dev/full", "w") as full:
        ran = subprocess.run(
            [*EXPLAIN, "--format", form], stdout=full, stderr=subprocess.PIPE, text=True
        )
    sentence = "nats-insights: cannot write the output: No space left on device\n"
    assert (ran.returncode, ran.stderr) == (3, sentence)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_reader_that_left_is_no_trouble(form):
    running = subprocess.Popen(
        [*EXPLAIN, "--format", form], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    running.stdout.close()  # Before anything was written.
    with running.stderr:
        said = running.stderr.read()
    assert (running.wait(), said) == (141, "")
