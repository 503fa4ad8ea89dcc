"""A command that logs less does so while it runs, and no longer."""

from __future__ import annotations

import logging

import pytest

from nats_insights.__main__ import main
from nats_insights.commands import unlogged

log = logging.getLogger("nats_insights.test")


def test_warnings_are_logged_before_and_after_and_errors_always(caplog):
    log.warning("before")
    with unlogged.warnings():
        log.warning("meanwhile")
        log.error("an error")
    log.warning("after")
    assert caplog.messages == ["before", "an error", "after"]


def test_lines_that_begin_so_are_left_out_while_it_lasts(caplog):
    with unlogged.lines(log.name, "epoch"):
        log.warning("%s 5 was late", "epoch")
        log.warning("the epoch failed")
    log.warning("epoch 6 was late")
    assert caplog.messages == ["the epoch failed", "epoch 6 was late"]


@pytest.mark.parametrize("command", ["check", "doctor"])
def test_a_command_that_failed_leaves_logging_as_it_was(command, caplog, unused_tcp_port):
    assert main([command, "-s", f"127.0.0.1:{unused_tcp_port}"]) == 3
    log.warning("after")
    assert "after" in caplog.messages
