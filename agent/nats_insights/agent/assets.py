"""The agent's streams and buckets in an account: what is there, what fits, and what is in the way.

Nothing is created and nothing is changed, unless `apply` is called.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from msgspec import Struct

from nats_insights import subjects
from nats_insights.connection.jetstream import JetStream, Stream
from nats_insights.errors import JetStreamError
from nats_insights.tell.assets import HISTORY, Asset, Fit, fit, updated

_ADVISORIES, _QUERIES = f"{subjects.ADVISORY}.>", subjects.api("*")


class Found(Struct, frozen=True, kw_only=True):
    """An asset as it is: how it fits, and what was done about it, "" for nothing.

    Another stream that is in the way may answer queries.
    """

    name: str
    fit: Fit
    stream: Stream | None = None
    done: str = ""
    answers_queries: bool = False

    @property
    def works(self) -> bool:
        return self.fit.state in ("fits", "differs")


async def look(jetstream: JetStream, wanted: Sequence[Asset]) -> list[Found]:
    """Every asset as it is, and the streams that are in the way."""
    found = [await _look(jetstream, asset) for asset in wanted]
    return found + [other async for other in in_the_way(jetstream)]


async def apply(jetstream: JetStream, wanted: Sequence[Asset], *, update: bool) -> list[Found]:
    """Create what is missing; change what differs or is wrong only if told to `update` it."""
    found = [await _apply(jetstream, asset, update=update) for asset in wanted]
    return found + [other async for other in in_the_way(jetstream)]


async def in_the_way(jetstream: JetStream) -> AsyncIterator[Found]:
    """Other streams that store queries, and so answer them, or advisories."""
    async for stream in jetstream.storing(_QUERIES):
        yield Found(
            name=stream.name,
            stream=stream,
            answers_queries=True,
            fit=_wrong(
                f"it stores {_QUERIES}, and so answers queries in the place of the agent: let it "
                f"store {_ADVISORIES} only"
            ),
        )
    async for stream in jetstream.storing(_ADVISORIES):
        if stream.name != HISTORY:
            why = f"it stores advisories, so that there can be no {HISTORY} beside it"
            yield Found(name=stream.name, stream=stream, fit=_wrong(why))


async def _look(jetstream: JetStream, asset: Asset) -> Found:
    stream = await jetstream.stream(asset.name)
    existing = None if stream is None else stream.config
    return Found(name=asset.name, stream=stream, fit=fit(asset, existing))


async def _apply(jetstream: JetStream, asset: Asset, *, update: bool) -> Found:
    there = await _look(jetstream, asset)
    if there.stream is not None and (not update or there.fit.state == "fits"):
        return there
    try:
        if there.stream is None:
            made, done = await jetstream.create(asset.config), "created"
        else:
            made, done = await jetstream.update(updated(asset, there.stream.config)), "updated"
    except JetStreamError as error:
        notes = [f"it is refused: {error}", *there.fit.notes]
        return Found(name=asset.name, stream=there.stream, fit=_wrong(*notes))
    return Found(name=asset.name, stream=made, fit=fit(asset, made.config), done=done)


def _wrong(*notes: str) -> Fit:
    return Fit(state="wrong", notes=list(notes))
