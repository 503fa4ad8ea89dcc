"""What systemd is told: real datagrams on a real socket, and never an error."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.systemd import Manager
from nats_insights.agent.systemd import Systemd

WATCHDOG = {"WATCHDOG_USEC": "180000000", "WATCHDOG_PID": str(os.getpid())}


@pytest.fixture(params=["a path", "an abstract name"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    name = f"{tmp_path}/notify" if request.param == "a path" else f"@insights-{os.urandom(8).hex()}"
    made = Manager(name)
    with made.socket:
        yield made


def systemd(manager: Manager, **more: str) -> Systemd:
    return Systemd({"NOTIFY_SOCKET": manager.address, **more})


def test_it_hears_that_the_agent_is_ready_and_goes_on(manager):
    systemd(manager).works("ok: 3 of 3 servers answered", 100)
    assert manager.heard() == {
        "READY": "1",
        "STATUS": "ok: 3 of 3 servers answered",
        "WATCHDOG": "1",
    }


def test_an_agent_that_tries_to_connect_is_alive_and_not_yet_ready(manager):
    systemd(manager).tries("nats://n1:4222 cannot be reached: Connection refused")
    assert manager.heard() == {
        "STATUS": "no connection: nats://n1:4222 cannot be reached: Connection refused",
        "WATCHDOG": "1",
    }


def test_it_hears_that_the_agent_stops(manager):
    systemd(manager).stops()
    assert manager.heard() == {"STOPPING": "1", "STATUS": "stopping"}


def test_a_status_is_one_line_and_not_endless(manager):
    systemd(manager).tries(f"a\nREADY=1\n{'é' * 10_000}")
    heard = manager.heard()
    assert heard.keys() == {"STATUS", "WATCHDOG"}
    assert heard["STATUS"].startswith(r"no connection: a\nREADY=1\né")
    assert len(heard["STATUS"]) == 500


def test_what_cannot_be_encoded_is_told_all_the_same(manager):
    systemd(manager).tries("\udcff")
    assert manager.heard()["STATUS"] == r"no connection: \udcff"


def test_the_watchdog_waits_as_long_as_the_unit_says_while_epochs_are_close(manager):
    systemd(manager, **WATCHDOG).works("", 90)
    assert "WATCHDOG_USEC" not in manager.heard()


def test_the_watchdog_waits_for_epochs_that_are_far_apart(manager):
    told = systemd(manager, **WATCHDOG)
    for silent_after, expected in ((91, "182000000"), (91, None), (100.5, "201000000"), (30, None)):
        told.works("", silent_after)
        if silent_after == 30:  # Back to what the unit says.
            expected = "180000000"
        assert manager.heard().get("WATCHDOG_USEC") == expected


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"WATCHDOG_USEC": "180000000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "3min", "WATCHDOG_PID": str(os.getpid())},
        {"WATCHDOG_USEC": "³", "WATCHDOG_PID": str(os.getpid())},
        {"WATCHDOG_USEC": "0"},
    ],
    ids=["none", "of another process", "no number", "no digit", "off"],
)
def test_a_unit_without_a_watchdog_is_not_given_one(manager, variables):
    systemd(manager, **variables).works("", 3600)
    assert "WATCHDOG_USEC" not in manager.heard()


def test_a_watchdog_without_a_process_id_is_ours(manager):
    systemd(manager, WATCHDOG_USEC="1000000").works("", 1)
    assert manager.heard()["WATCHDOG_USEC"] == "2000000"


@pytest.mark.parametrize("address", ["", "notify", "vsock:2:5000"])
def test_without_a_socket_that_it_knows_nothing_is_said(address, caplog):
    told = Systemd({"NOTIFY_SOCKET": address} if address else {})
    told.works("ok", 100)
    told.tries("no")
    told.stops()
    assert caplog.messages == []


def test_a_socket_that_is_gone_is_told_of_once_until_it_is_back(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    address = f"{tmp_path}/notify"
    told = Systemd({"NOTIFY_SOCKET": address})
    sentence = "systemd cannot be told how the agent is: [Errno 2] No such file or directory"
    for _ in range(3):
        told.works("ok", 100)
    assert caplog.messages == [sentence]
    back = Manager(address)
    with back.socket:
        told.works("ok", 100)
        assert back.heard()["READY"] == "1"
    Path(address).unlink()
    told.works("ok", 100)
    assert caplog.messages == [sentence, sentence]


def test_a_manager_that_does_not_listen_delays_nothing(manager, caplog):
    told = systemd(manager)
    for _ in range(10_000):
        told.works("ok", 100)
    assert caplog.messages == [
        "systemd cannot be told how the agent is: [Errno 11] Resource temporarily unavailable"
    ]
    assert manager.heard()["STATUS"] == "ok"


@pytest.mark.parametrize("microseconds", ["180000000", "0"])
def test_a_process_that_the_watchdog_ends_says_where_it_was(microseconds):
    program = (
        "import os\nfrom nats_insights.agent.systemd import Systemd\n"
        "def hangs():\n    os.abort()\nSystemd(os.environ)\nhangs()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={"WATCHDOG_USEC": microseconds},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert ended.returncode == -signal.SIGABRT
    assert ("in hangs" in ended.stderr) == (microseconds != "0")
