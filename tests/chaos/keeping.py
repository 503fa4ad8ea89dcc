"""The streams of the agents on a cluster that is disturbed: made, filled, and read at last."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from nats.errors import Error
from tests.chaos.judge import UNSAVED, Said
from tests.chaos.process import ACCOUNT, KEEPER, PASSWORD
from tests.chaos.recorder import ROOT, Recorder, said_by
from tests.chaos.stored import Held

from nats_insights import subjects
from nats_insights.connection.client import Client
from nats_insights.connection.jetstream import JetStream
from nats_insights.errors import ConnectError, JetStreamError
from nats_insights.lab.servers.local import System
from nats_insights.tell.assets import HISTORY
from nats_insights.tell.messages import Advisory, FindingsReply, FindingState

T = TypeVar("T")
LISTENER = "listener"
# What a cluster needs to have an account for them; the server that is asked answers for it.
SETTINGS: dict[str, Any] = {
    "jetstream": True,
    "accounts": {ACCOUNT: [KEEPER, LISTENER]},
    "account_options": {ACCOUNT: "jetstream: enabled"},
}
# What a leader that crashed leaves behind is refused for this long: five minutes by default, which
# is longer than a test should last.
DUPLICATES_SECONDS = 20
# On 2.10 it takes a minute now and then until a stream with replicas can be made.
_PATIENCE_SECONDS = 120.0
_ASK_SECONDS = 2.0
_LOOK_SECONDS = 0.5
_NO_MESSAGE = 10037


class Keeping:
    """Both streams, as a user who may do everything sees them through any server."""

    def __init__(self, recorder: Recorder) -> None:
        self.leader = ""
        self._recorder = recorder
        self._config: dict[str, Any] = {}
        self._turn = 0

    @property
    def version(self) -> str:
        """That of the servers."""
        return next((one.server_version for one in self._recorder.clients(LISTENER)), "")

    async def make(self, system: System, config: Path, urls: Sequence[str]) -> None:
        """Creates them as an operator does, with three replicas."""
        command = [sys.executable, "-m", "nats_insights", "assets", "apply", "--replicas", "3"]
        _, password = system.user(KEEPER)

        def apply() -> None:
            done = subprocess.run(
                [*command, "--config", config],
                env={**os.environ, "NATS_URL": ",".join(urls), PASSWORD: password},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
            )
            if done.returncode:
                raise JetStreamError(f"assets apply: {done.stdout}{done.stderr}")

        await self._ask(lambda client: asyncio.to_thread(apply))
        self._config = await self._ask(self._history)
        self._config["duplicate_window"] = DUPLICATES_SECONDS * 10**9
        await self._change()

    async def fill(self) -> None:
        """From now on the history takes no message."""
        await self._change(discard="new", max_msgs=1)

    async def empty(self) -> None:
        """It takes them again."""
        await self._change()

    async def keep_looking(self) -> None:
        """Looks who leads the history, until it is cancelled."""
        while True:
            with suppress(JetStreamError, ConnectError, Error, OSError, IndexError):
                stream = await JetStream(self._client(LISTENER), _ASK_SECONDS).stream(HISTORY)
                self.leader = stream.cluster.leader if stream and stream.cluster else ""
            await asyncio.sleep(_LOOK_SECONDS)

    async def stored(self, name: str) -> list[Said]:
        """All that a stream holds, in its order."""
        found: list[Said] = []
        sequence = 1
        while True:
            got = await self._ask(lambda client, at=sequence: _next(client, name, at))
            if got is None:
                return found
            sequence, advisory = got[0] + 1, got[1]
            found.append(said_by(advisory, advisory.timestamp.timestamp()))

    async def findings(self) -> dict[str, Held]:
        """What the leader of the agents says is open, by fingerprint."""
        found = await self._findings()
        return {one.fingerprint: Held(one.opened_at.timestamp(), one.revision) for one in found}

    async def until_saved(self) -> None:
        """Until the leader saves what it knows; TimeoutError if it does not."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                codes = {one.code for one in await self._findings()}
                if UNSAVED not in codes:
                    return
                await asyncio.sleep(_LOOK_SECONDS)

    async def _findings(self) -> Sequence[FindingState]:
        async def ask(client: Client) -> Sequence[FindingState]:
            reply = await client.request(subjects.api("FINDINGS"), timeout=_ASK_SECONDS)
            return msgspec.json.decode(reply.data, type=FindingsReply).findings

        return await self._ask(ask, ROOT)

    async def _history(self, client: Client) -> dict[str, Any]:
        stream = await JetStream(client, _ASK_SECONDS).stream(HISTORY)
        if stream is None or stream.leaderless:
            raise JetStreamError("it has no leader yet")
        return stream.config

    async def _change(self, **other: Any) -> None:
        config = {**self._config, **other}
        await self._ask(lambda client: JetStream(client, _ASK_SECONDS).update(config))

    async def _ask(
        self, ask: Callable[[Client], Coroutine[Any, Any, T]], user: str = LISTENER
    ) -> T:
        """What this says, tried until a server answers."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                with suppress(
                    JetStreamError, ConnectError, msgspec.MsgspecError, Error, OSError, IndexError
                ):
                    return await ask(self._client(user))
                await asyncio.sleep(0.2)

    def _client(self, user: str) -> Client:
        """One of the connections of the recorder, another one each time; IndexError for none."""
        clients = self._recorder.clients(user)
        self._turn += 1
        return clients[self._turn % max(1, len(clients))]


async def _next(client: Client, stream: str, sequence: int) -> tuple[int, Advisory] | None:
    """The first message of a stream from this sequence on, None if there is none."""
    body = msgspec.json.encode({"seq": sequence, "next_by_subj": f"{subjects.ADVISORY}.>"})
    reply = await client.request(f"$JS.API.STREAM.MSG.GET.{stream}", body, timeout=_ASK_SECONDS)
    said = msgspec.json.decode(reply.data)
    if "error" in said:
        if said["error"].get("err_code") == _NO_MESSAGE:
            return None
        raise JetStreamError(said["error"].get("description", ""))
    message = said["message"]
    return message["seq"], msgspec.json.decode(b64decode(message["data"]), type=Advisory)
