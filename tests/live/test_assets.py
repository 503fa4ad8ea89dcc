"""`assets`: streams and buckets on real servers, made by the command and by hand."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
from nats.js.api import KeyValueConfig, StreamConfig

from kit.keeping import KEEP
from kit.programs import connected, environment, until
from nats_insights.__main__ import main
from nats_insights.lab.servers import local

pytestmark = pytest.mark.live

NAMES = ["INSIGHTS", "INSIGHTS_STATE", "KV_INSIGHTS_LEASE", "KV_INSIGHTS_AGENT"]
ADVISORY = "$INSIGHTS.ADVISORY.INFO.SYSTEM._._.TEST_001.f"
CLI = os.environ.get("NATS_CLI") or shutil.which("nats")
needs_cli = pytest.mark.skipif(
    CLI is None, reason="no nats CLI: set NATS_CLI or put it on the PATH"
)
# Its exit code, its rows as name: (state, the rest), and what it says on standard error.
Said = tuple[int, dict[str, tuple[str, str]], str]


@pytest.fixture
def server(start_server) -> local.Server:
    return start_server("n1", **KEEP)["n1"]


@pytest.fixture
def assets(capsys, tmp_path, monkeypatch) -> Callable[..., Said]:
    """`assets(server, "apply")`, as user `keeper` if nothing else is said."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def assets(server: local.Server, *arguments: str, user: str = "keeper") -> Said:
        name, password = server.user(user)
        flags = ("--server", server.url, "--user", name, "--password", password)
        code = main(["assets", *arguments, *flags])
        said, beside = capsys.readouterr()
        rows = [re.split(r" {2,}", line, maxsplit=2) for line in said.splitlines()[1:]]
        return code, {name: (state, " ".join(rest)) for name, state, *rest in rows}, beside

    return assets


def states(rows: dict[str, tuple[str, str]]) -> list[str]:
    return [rows[name][0] for name in NAMES]


def by_hand(server: local.Server, work: Callable[..., Any], user: str = "keeper") -> Any:
    """What somebody does there with JetStream."""

    async def does() -> Any:
        async with connected(server, server.user(user)) as client:
            return await work(client.jetstream())

    return asyncio.run(does())


def test_they_are_created_when_told_to_and_then_left_alone(server, assets):
    code, rows, beside = assets(server)
    assert (code, states(rows)) == (3, ["missing"] * 4)
    assert beside == "`nats-insights assets apply` creates what is missing\n"
    code, rows, beside = assets(server, "apply")
    assert (code, states(rows), beside) == (0, ["created"] * 4, "")
    code, rows, _ = assets(server)
    assert (code, states(rows)) == (0, ["fits"] * 4)
    assert rows["INSIGHTS"][1] == "0 messages, 0.0 MB"
    code, rows, beside = assets(server, "apply", "--update")
    assert (code, states(rows), beside) == (0, ["fits"] * 4, "")


def test_the_mirror_keeps_the_last_message_of_each_subject(server, assets):
    assets(server, "apply")

    async def publishes(js: Any) -> Any:
        for number in range(3):
            await js.publish(ADVISORY, b"%d" % number, headers={"Nats-Msg-Id": str(number)})
        again = await js.publish(ADVISORY, b"0", headers={"Nats-Msg-Id": "0"})

        async def has_them_all() -> bool:
            return (await js.stream_info("INSIGHTS_STATE")).state.last_seq == 3

        await until(has_them_all)
        last = await js.get_last_msg("INSIGHTS_STATE", ADVISORY)
        return again.duplicate, last.data, (await js.stream_info("INSIGHTS_STATE")).state.messages

    assert by_hand(server, publishes) == (True, b"2", 1)


def test_what_its_owner_made_otherwise_is_shown_and_changed_only_when_told_to(server, assets):
    config = StreamConfig(name="INSIGHTS", subjects=["$INSIGHTS.>"], max_age=90 * 86_400)
    by_hand(server, lambda js: js.add_stream(config))
    code, rows, beside = assets(server, "apply")
    assert (code, rows["INSIGHTS"][0]) == (0, "differs")
    assert "max_age is 90d, not 30d" in rows["INSIGHTS"][1]
    assert "subjects is $INSIGHTS.>, not $INSIGHTS.ADVISORY.>" in rows["INSIGHTS"][1]
    assert beside == "what exists is not changed without --update\n"
    info = by_hand(server, lambda js: js.stream_info("INSIGHTS"))
    assert (info.config.max_age, info.config.subjects) == (90 * 86_400, ["$INSIGHTS.>"])
    code, rows, beside = assets(server, "apply", "--update")
    assert (code, rows["INSIGHTS"][0], rows["INSIGHTS_STATE"][0]) == (0, "updated", "fits")
    assert assets(server)[1]["INSIGHTS"][0] == "fits"


def test_what_cannot_be_changed_is_refused_in_one_sentence_and_the_others_are_made(server, assets):
    config = StreamConfig(name="INSIGHTS_STATE", subjects=["elsewhere"])
    by_hand(server, lambda js: js.add_stream(config))
    code, rows, _ = assets(server, "apply")
    assert (code, states(rows)) == (3, ["created", "wrong", "created", "created"])
    assert "it is not a mirror of INSIGHTS" in rows["INSIGHTS_STATE"][1]
    code, rows, _ = assets(server, "apply", "--update")
    assert (code, rows["INSIGHTS_STATE"][0]) == (3, "wrong")
    assert "it is refused: " in rows["INSIGHTS_STATE"][1]


def test_streams_in_the_way_are_named(server, assets):
    for name, subject in (("TRAP", "INSIGHTS.>"), ("MINE", "$INSIGHTS.ADVISORY.CRITICAL.>")):
        config = StreamConfig(name=name, subjects=[subject])
        by_hand(server, lambda js, config=config: js.add_stream(config))
    code, rows, _ = assets(server, "apply")
    assert code == 3
    assert (rows["TRAP"][0], rows["MINE"][0]) == ("wrong", "wrong")
    assert "answers queries in the place of the agent" in rows["TRAP"][1]
    assert "there can be no INSIGHTS beside it" in rows["MINE"][1]
    assert "subjects overlap with an existing stream" in rows["INSIGHTS"][1]


def test_a_stream_of_the_agent_is_not_in_its_own_way(server, assets):
    config = StreamConfig(name="INSIGHTS", subjects=["$INSIGHTS.>", "INSIGHTS.>"])
    by_hand(server, lambda js: js.add_stream(config))
    _, rows, _ = assets(server)
    assert rows["INSIGHTS"][0] == "wrong"
    assert "answers queries in the place of the agent" in rows["INSIGHTS"][1]


def refusal(server: local.Server, user: str, capsys: Any, *arguments: str) -> str:
    name, password = server.user(user)
    login = ("--server", server.url, "--user", name, "--password", password)
    assert main(["assets", *arguments, *login]) == 3
    return str(capsys.readouterr().err)


def test_an_account_without_jetstream_and_servers_without_it_are_told_apart(
    start_server, server, capsys, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    not_here = "JetStream is not enabled for the account of this connection: enable it there"
    assert refusal(server, "app", capsys, "apply") == f"nats-insights: {not_here}\n"
    without = start_server("n2")["n2"]
    nowhere = "JetStream is not enabled on the servers"
    assert refusal(without, "app", capsys) == f"nats-insights: {nowhere}\n"


def test_a_user_that_may_not_ask_is_told_what_to_allow(start_server, capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    deny = 'permissions: { publish: { deny: "$JS.API.STREAM.INFO.>" } }'
    users = f"users: [{{ user: u, password: p, {deny} }}], jetstream: enabled"
    server = start_server("n1", jetstream=True, authorization=f"accounts {{ A: {{ {users} }} }}")
    login = ("--server", server["n1"].url, "--user", "u", "--password", "p")
    assert main(["assets", *login]) == 3
    assert capsys.readouterr().err == (
        "nats-insights: the user may not use $JS.API.STREAM.INFO.INSIGHTS: allow it\n"
    )


def test_it_connects_as_the_section_says_where_no_flag_is_given(
    server, capsys, tmp_path, monkeypatch
):
    for name in [name for name in os.environ if name.startswith("NATS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("OPS_PASSWORD", server.user("keeper")[1])
    config = tmp_path / "agent.toml"
    config.write_text(
        f"lifecycle.remind_every = '1m'\n[publish]\nserver = ['{server.url}']\n"
        "user = 'keeper'\npassword = 'env://OPS_PASSWORD'\n"
    )
    assert main(["assets", "apply", "--config", str(config), "--lease", "3s"]) == 0
    info = by_hand(server, lambda js: js.stream_info("INSIGHTS_STATE"))
    assert info.config.max_age == 240
    info = by_hand(server, lambda js: js.stream_info("KV_INSIGHTS_LEASE"))
    assert info.config.max_age == 3


WRONG = {
    "a name where none belongs": (["apply", "INSIGHTS"], "`assets apply` takes no name"),
    "an asset that is not one": (["show", "INSIGHT"], "did you mean INSIGHTS?"),
    "replicas": (["apply", "--replicas", "0"], "it must be from 1 to 5"),
    "a lease": (["show", "--lease", "100ms"], "--lease is refused: '100ms' is not between"),
    "an update of nothing": (["show", "--update"], "--update goes with `assets apply`"),
}


@pytest.mark.parametrize(("arguments", "sentence"), WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_refused_in_one_sentence(arguments, sentence, capsys):
    assert main(["assets", *arguments]) == 3
    assert sentence in capsys.readouterr().err


def test_a_cluster_keeps_as_many_replicas_as_it_is_told_to(start_cluster, assets):
    server = start_cluster("n1", "n2", "n3", **KEEP)["n1"]
    for _ in range(100):  # Until the leader has heard of enough servers.
        code, rows, _ = assets(server, "apply", "--replicas", "3")
        if code == 0:
            break
    assert all(state in ("created", "fits") for state in states(rows))
    info = by_hand(server, lambda js: js.stream_info("KV_INSIGHTS_LEASE"))
    assert info.config.num_replicas == 3
    # Replicas that were not asked for are not compared, and not taken away.
    code, rows, _ = assets(server, "apply", "--update")
    assert (code, states(rows)) == (0, ["fits"] * 4)
    code, rows, _ = assets(server, "status", "--replicas", "1")
    assert (code, states(rows)) == (0, ["differs"] * 4)


@needs_cli
def test_what_show_prints_is_taken_by_the_nats_cli(server, assets, capsys, tmp_path):
    for name in NAMES:
        main(["assets", "show", name])
        (tmp_path / f"{name}.json").write_text(capsys.readouterr().out)
        command = ["stream", "add", name, "--config", str(tmp_path / f"{name}.json")]
        subprocess.run(
            [CLI, *command],
            env=environment(server, server.user("keeper")) | {"XDG_CONFIG_HOME": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            check=True,
            capture_output=True,
        )
    code, rows, _ = assets(server)
    assert (code, states(rows)) == (0, ["fits"] * 4)


def test_buckets_of_a_client_of_nats_work(server, assets):
    async def makes(js: Any) -> None:
        config = KeyValueConfig("INSIGHTS_LEASE", ttl=15, history=1)
        await js.create_key_value(config)
        await js.create_key_value(bucket="INSIGHTS_AGENT")

    by_hand(server, makes)
    _, rows, _ = assets(server)
    assert states(rows)[2:] == ["differs", "differs"]


def test_all_of_them_are_one_list(capsys):
    assert main(["assets", "show", "--replicas", "3"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert [(one["name"], one["num_replicas"]) for one in shown] == [(name, 3) for name in NAMES]
