"""Servers in namespaces of their own: reachable from the hub, and cut off as told."""

from __future__ import annotations

import json
import os
import socket
import subprocess

import pytest
from tests.chaos import network as module
from tests.chaos.network import HUB, Unavailable, network

pytestmark = [pytest.mark.live, pytest.mark.chaos]

THREE = {"C1": ["n1", "n2", "n3"]}


def namespaces() -> list[str]:
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True)
    return [line.split()[0] for line in listed.stdout.splitlines()]


async def test_a_cut_takes_the_route_between_two_servers_and_heals(start_apart, peers_are):
    system, net = start_apart(THREE)
    await peers_are(system["n1"], {"n2", "n3"})
    net.cut("n1", "n2")
    await peers_are(system["n1"], {"n3"})
    await peers_are(system["n2"], {"n3"})
    await peers_are(system["n3"], {"n1", "n2"})
    net.heal("n1", "n2")
    await peers_are(system["n1"], {"n2", "n3"})


def test_a_connection_that_exists_is_silent_while_it_is_cut_and_goes_on(start_apart):
    system, net = start_apart({"": ["n1"]})
    address = (net.addresses["n1"], system["n1"].port)
    hello = dict(zip(("user", "pass"), system.user("app"), strict=True), verbose=False)
    with socket.create_connection(address, timeout=0.5) as sock, sock.makefile("rb") as lines:
        assert lines.readline().startswith(b"INFO ")
        sock.sendall(f"CONNECT {json.dumps(hello)}\r\nPING\r\n".encode())
        assert lines.readline() == b"PONG\r\n"
        net.cut("n1", HUB)
        sock.sendall(b"PING\r\n")
        with pytest.raises(TimeoutError):
            sock.recv(1)
        with pytest.raises(OSError, match="Invalid argument"):
            socket.create_connection(address, timeout=0.5)
        net.heal_all()
        sock.settimeout(20)
        assert sock.recv(1) == b"P"


def test_a_super_cluster_with_a_leaf_finds_itself_over_the_network(start_apart):
    both = {"A": ["a1", "a2"], "B": ["b1", "b2"]}
    system, net = start_apart(both, leaves={"l1": "b1"})
    assert {server.url for server in system} == {
        f"nats://{net.addresses[server.name]}:{server.port}" for server in system
    }


def test_nothing_is_left_of_a_network_after_a_failure():
    before = os.readlink("/proc/thread-self/ns/net")
    made: list[str] = []
    try:
        with network(["a"]) as net:
            made += net.namespaces.values()
            assert {*made} <= {*namespaces()}
            assert os.readlink("/proc/thread-self/ns/net") != before
            raise ZeroDivisionError
    except ZeroDivisionError:
        assert not {*made} & {*namespaces()}
        assert os.readlink("/proc/thread-self/ns/net") == before
    except Unavailable as why:
        pytest.skip(str(why))


@pytest.mark.parametrize(
    ("missing", "why"), [("geteuid", "by root only"), ("which", "the command ip")]
)
def test_who_can_have_no_namespaces_is_told_why(monkeypatch, missing, why):
    monkeypatch.setattr(module.os, "geteuid", lambda: int(missing == "geteuid"))
    monkeypatch.setattr(module.shutil, "which", lambda _: None)
    with pytest.raises(Unavailable, match=why), network(["a"]):
        pass
