"""`watch` as a person and as a script use it: on real servers, with agents that really die."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from kit.programs import ask, connected, environment, found
from kit.terminal import ENTER, HIDE, LEAVE, SHOW, Terminal, plain, terminal
from nats_insights.lab.servers import local

pytestmark = pytest.mark.live

PATIENCE = 40.0
# An agent counts as gone after three seconds and five of these timeouts.
QUICK = """
interval = "300ms"
gather.timeout = "400ms"
gather.max_cpu = 1.0
lifecycle.settle = "0s"
checks.agent_late.enabled = false
"""
# What the connections of `busy` are: the server is nearly full, and has far more than the others.
OPEN = ("OPT_BALANCE_002", "OPT_BALANCE_006", "SERVER_011")


class Program:
    """A program that runs, and the lines that it wrote so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []
        self._looked_at = 0
        self._reading = asyncio.create_task(self._read())

    async def line(self, *words: str) -> str:
        """The next line that has these words; AssertionError if it ends before."""
        found: list[str] = []

        def look() -> bool:
            while not found and self._looked_at < len(self.lines):
                line = self.lines[self._looked_at]
                self._looked_at += 1
                found.extend([line] if all(word in line for word in words) else [])
            return bool(found)

        await self.until(look)
        return found[0]

    async def until(self, condition: Callable[[], object]) -> None:
        """Until what it wrote makes it true; AssertionError if it ends before, or hangs."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    assert not self._reading.done(), f"it ended: {self.lines}"
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"in vain: {self.lines}") from None

    def leave(self) -> None:
        """Read no more, as `head` does: what it writes now finds nobody."""
        self.process._transport.get_pipe_transport(1).close()

    async def ended(self) -> int:
        """Its exit code, once it has ended and all was read."""
        async with asyncio.timeout(PATIENCE):
            await self._reading
            return await self.process.wait()

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.lines.append(line.decode().rstrip("\n"))


Start = Callable[..., Awaitable[Program]]


@pytest.fixture
def system(start_cluster) -> local.System:
    return start_cluster("n1", "n2", "n3", options={"n3": "max_connections: 60"})


@pytest.fixture
async def cli(system: local.System) -> AsyncIterator[Start]:
    """`await cli("watch", user="ops", at="n2")`: the program as this user on this server."""
    running: list[Program] = []

    async def cli(*arguments: str | Path, user: str = "ops", at: str = "n2") -> Program:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "nats_insights", *map(str, arguments)),
            env=environment(system[at], system.user(user)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=1024 * 1024,
        )
        running.append(Program(process))
        return running[-1]

    yield cli
    for program in running:
        if program.process.returncode is None:
            program.process.kill()
        await program.ended()


@pytest.fixture
def agent(cli: Start, system: local.System, tmp_path: Path) -> Start:
    """`await agent("first")`: an agent of that id, once it leads or stands by."""

    async def agent(name: str, said: str = "connected to") -> Program:
        config = tmp_path / f"{name}.toml"
        config.write_text(f'id = "{name}"{QUICK}')
        program = await cli("run", "--config", config, user="agent", at="n1")
        await program.line(said)
        async with connected(system["n2"], system.user("ops")) as client:
            await ask(client, "STATUS")
        return program

    return agent


async def busy(system: local.System, crowd: Any) -> None:
    """Until the agent has found what so many connections on one server are."""
    user, password = system.user("app")
    await crowd.join(system["n3"].url, 52, user=user, password=password)
    async with connected(system["n2"], system.user("ops")) as client:
        await found(client, *OPEN)


def findings(lines: Iterable[str], kind: str = "insights.watch.v1.open") -> tuple[str, ...]:
    """The codes of what these lines say was open when watching began."""
    said = [json.loads(line) for line in lines]
    return tuple(sorted(one["code"] for one in said if one["type"] == kind))


def resolved(lines: Iterable[str]) -> tuple[str, ...]:
    """The codes of what these lines say has resolved."""
    over = [line for line in lines if json.loads(line).get("transition") == "resolved"]
    return findings(over, "insights.advisory.v1.finding")


FILTERS = {
    "": OPEN,
    "--severity info": OPEN,
    "--severity warning": ("SERVER_011",),
    "--severity critical": (),
    "--cluster NOPE": (),
    "--cluster C1": OPEN,
    "--code OPT_BALANCE_002": ("OPT_BALANCE_002",),
    "--code connection-hotspot": ("OPT_BALANCE_002",),
    "--code opt_* --severity info": ("OPT_BALANCE_002", "OPT_BALANCE_006"),
    "--code USER_002 --code server_011": ("SERVER_011",),
    "--server-name n3": ("OPT_BALANCE_002", "SERVER_011"),
    "--server-name n1": (),
    "--account APP": ("OPT_BALANCE_006",),
    "--user-name app": (),
}


async def test_filters_apply_to_what_is_open_and_to_what_comes(system, cli, agent, crowd):
    await agent("first")
    await busy(system, crowd)
    watches = {flags: await cli("watch", "--format", "json", *flags.split()) for flags in FILTERS}
    for program in watches.values():
        await program.line('"listed"')
    assert {flags: findings(program.lines) for flags, program in watches.items()} == FILTERS
    await crowd.leave(list(crowd))
    # Whoever hears of everything hears of the last one as late as all others.
    for flags in ("", *FILTERS):
        some = watches[flags]
        await some.until(lambda some=some, wanted=FILTERS[flags]: resolved(some.lines) == wanted)
    assert {flags: resolved(program.lines) for flags, program in watches.items()} == FILTERS


UNKNOWN = {
    "SERVER_11": "there is no check 'SERVER_11'; did you mean SERVER_011?",
    "connection_hotspt": "there is no check 'connection_hotspt'; did you mean connection_hotspot?",
    "NOBODY_*": "there is no check 'NOBODY_*'; `nats-insights checks` lists them",
}


async def test_a_check_that_nobody_knows_is_refused(cli, agent):
    async def refusals() -> dict[str, str]:
        said = {}
        for code in UNKNOWN:
            program = await cli("watch", "--code", code)
            assert await program.ended() == 3
            said[code] = program.lines[-1].removeprefix("nats-insights: ")
        return said

    alone = "no agent answers, and in this program "
    assert await refusals() == {code: alone + said for code, said in UNKNOWN.items()}
    await agent("first")
    assert await refusals() == UNKNOWN


@pytest.mark.long
async def test_an_agent_that_is_killed_is_missed_and_seen_again(system, cli, agent, crowd):
    first = await agent("first")
    await busy(system, crowd)
    text, script = await cli("watch"), await cli("watch", "--format", "json")
    await text.line("3 open; waiting for advisories")
    assert json.loads(await script.line('"listed"'))["open"] == 3
    first.process.send_signal(signal.SIGKILL)
    lost = "it stopped, or lost its connection"
    assert lost in await text.line("silent", "no heartbeat of agent first for ")
    said = json.loads(await script.line("insights.watch.v1.agent"))
    assert (said["event"], said["agent"]) == ("silent", "first")
    assert said["summary"].endswith(lost)
    await agent("first")
    await text.line("back", "agent first is back")
    await text.line("open; waiting for advisories")
    said = json.loads(await script.line('"event":"back"'))
    assert (said["agent"], said["summary"]) == ("first", "agent first is back")
    assert json.loads(await script.line('"listed"'))["event"] == "listed"


async def test_another_agent_that_leads_is_named(system, cli, agent):
    first = await agent("first")
    second = await agent("second", "standing by")
    watch = await cli("watch", "--format", "json")
    await watch.line('"listed"')
    first.process.send_signal(signal.SIGTERM)
    said = json.loads(await watch.line("insights.watch.v1.agent"))
    assert (said["event"], said["summary"]) == ("stopped", "agent first was stopped")
    said = json.loads(await watch.line("insights.watch.v1.agent"))
    assert (said["event"], said["summary"]) == ("leads", "agent second leads")
    assert json.loads(await watch.line('"listed"'))["agent"] == "second"
    assert second.process.returncode is None


async def test_an_agent_that_starts_later_is_named(cli, agent):
    watch = await cli("watch")
    await watch.line("waiting for advisories; no agent answers on INSIGHTS.API.STATUS")
    await agent("first")
    await watch.line("leads", "agent first leads")
    await watch.line("0 open; waiting for advisories")


async def test_what_is_no_message_of_an_agent_does_not_end_it(system, cli, agent, crowd):
    await agent("first")
    watch = await cli("watch", "--format", "json")
    await watch.line('"listed"')
    ours = "$INSIGHTS.HEARTBEAT.first", "$INSIGHTS.ADVISORY.INFO.SERVER.C1.n1.X.1"
    async with connected(system["n1"], system.user("root")) as client:
        for subject in ours:
            for garbage in (b"", b"\xff", b"{", b"[" * 100_000, b'{"type": 1}'):
                await client.publish(subject, garbage)
        await client.flush()
    for what in ("that is not a heartbeat", "that is not an advisory"):
        await watch.line("received a message on $INSIGHTS.", what)
    await busy(system, crowd)
    opened = [json.loads(await watch.line('"opened"')) for _ in OPEN]
    assert sorted(one["code"] for one in opened) == sorted(OPEN)


async def test_after_its_server_was_restarted_what_is_open_is_listed_again(
    system, cli, agent, crowd
):
    await agent("first")
    await busy(system, crowd)
    watch = await cli("watch")
    await watch.line("3 open; waiting for advisories")
    system["n2"].kill()
    await watch.line("connection to", "closed")
    system["n2"].restart()
    await watch.line("SERVER_011")
    await watch.line("waiting for advisories")


async def test_a_user_who_may_not_receive_advisories_is_told_so(start_server):
    hears = 'permissions: { subscribe: { allow: ["_INBOX.>"] } }'
    text = f"accounts {{ OPS: {{ users: [{{ user: ops, password: pw, {hears} }}] }} }}"
    server = start_server("n1", authorization=text)["n1"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "nats_insights", "watch"),
        env=environment(server, ("ops", "pw")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    sentence = "the user may not subscribe to $INSIGHTS.ADVISORY.>: allow it"
    assert (process.returncode, said.decode()) == (3, f"nats-insights: {sentence}\n")


async def test_it_ends_when_its_reader_left(system, cli, agent, crowd):
    await agent("first")
    await busy(system, crowd)
    watch = await cli("watch", "--format", "json")
    await watch.line('"listed"')
    watch.leave()
    await crowd.leave(list(crowd))
    assert await watch.ended() == 141


SIZES = (60, 80, 100, 200)


@pytest.mark.parametrize("columns", SIZES)
async def test_the_screen_shows_a_real_system_and_ends_with_ctrl_c(system, agent, crowd, columns):
    await agent("first")
    await busy(system, crowd)
    env = environment(system["n2"], system.user("ops"), TERM="xterm-256color")
    program = ("-m", "nats_insights", "watch", "--full")
    with terminal(program, columns, 16, env) as shown:
        before = shown.attributes
        await shown.until(lambda: any("last heartbeat" in line for line in shown.screen()))
        lines = [plain(line) for line in shown.screen()]
        assert lines[0] == "● warning  3 of 3 servers answered"
        assert lines[1].startswith("agent first, epoch ")
        assert lines[2] == "3 open: 0 critical, 1 warning, 2 info"
        assert lines[4].startswith("WARNING   SERVER_011 ")
        assert (len(lines), lines[-1]) == (16, "Ctrl-C ends")
        assert max(map(len, lines)) <= columns
        shown.resize(72, 10)
        await shown.until(lambda: len(shown.screen()) == 10)
        assert max(len(plain(line)) for line in shown.screen()) <= 72
        await crowd.leave(list(crowd))
        await shown.until(lambda: any("0 open" in line for line in shown.screen()))
        shown.type("\x03")
        assert await shown.ended() == 0
        assert shown.attributes == before
    first, last = shown.text.index(ENTER), shown.text.index(LEAVE)
    assert shown.text[:first].strip() == ""
    assert shown.text[last + len(LEAVE) :].strip() == ""
    assert shown.text.count(HIDE) == shown.text[:last].count(SHOW) == 1


def epoch(shown: Terminal) -> int:
    """The epoch that stands on the screen."""
    (number,) = re.findall(r"agent first, epoch (\d+)", "\n".join(shown.screen()))
    return int(number)


@pytest.mark.long
async def test_the_screen_says_what_was_lost_and_that_it_is_back(system, agent, crowd):
    first = await agent("first")
    await busy(system, crowd)
    env = environment(system["n2"], system.user("ops"), TERM="xterm-256color", NO_COLOR="1")
    with terminal(("-m", "nats_insights", "watch", "--full"), 100, 16, env) as shown:
        await shown.until(lambda: any("last heartbeat" in line for line in shown.screen()))
        first.process.send_signal(signal.SIGKILL)
        dead = "● unknown  no heartbeat of agent first for "
        await shown.until(lambda: any(dead in plain(line) for line in shown.screen()))
        assert any("SERVER_011" in line for line in shown.screen())
        await agent("first")
        back = "agent first is back"
        await shown.until(lambda: any(back in line for line in shown.screen()))
        await shown.until(lambda: any("● warning  3 of 3" in plain(x) for x in shown.screen()))
        system["n2"].kill()
        await shown.until(lambda: any("connection to nats://" in x for x in shown.screen()))
        last = epoch(shown)
        system["n2"].restart()
        await shown.until(lambda: epoch(shown) > last)
        shown.program.send_signal(signal.SIGTERM)
        assert await shown.ended() == 143
    assert shown.text.endswith(SHOW + LEAVE)


async def test_without_a_terminal_there_is_no_screen(system, cli):
    watch = await cli("watch", "--full")
    assert await watch.ended() == 3
    sentence = "--full needs a terminal: leave it out, or give --format json"
    assert watch.lines == [f"nats-insights: {sentence}"]
    env = environment(system["n2"], system.user("ops"), TERM="dumb")
    with terminal(("-m", "nats_insights", "watch", "--full"), 80, 16, env) as shown:
        assert await shown.ended() == 3
        assert shown.text.strip() == f"nats-insights: {sentence}"
