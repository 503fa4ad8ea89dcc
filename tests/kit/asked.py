"""Asks what an agent knows after some epochs, as a client does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from msgspec.structs import replace

from nats_insights.facts import Access, Cost
from nats_insights.judge.lifecycle import Told
from nats_insights.tell.messages import AgentInfo
from nats_insights.tell.queries import answer
from nats_insights.tell.view import View
from scenario import FOUNDING, Story, System

AGENT = AgentInfo(id="agent", instance=32 * "f", version="1.0", epoch=7, role="leader")
MIB = 1024 * 1024


def view(story: Story, *, max_payload: int = MIB, resolved: Iterable[Told] = ()) -> View:
    """What an agent knows after the last epoch of a story, in which more may have `resolved`."""
    access = Access(mode="system", account="SYS", user="insights")
    of = View.of(story.auditor, AGENT, access, Cost(), max_payload)
    return replace(of, checks=list(FOUNDING.values()), transitions=[*of.transitions, *resolved])


def after(*systems: System, config: str = "") -> View:
    """What an agent knows after an epoch of each system."""
    story = Story(config)
    for one in systems:
        story.hears(one)
    return view(story)


def ask(of: View, query: str, /, **body: Any) -> Any:
    """The reply to a query."""
    return json.loads(answer(of, query, json.dumps(body).encode()))


def pages(of: View, name: str, field: str, **body: Any) -> Iterator[bytes]:
    """Every page of a list, asked for one after another."""
    offset, more = 0, True
    while more:
        reply = answer(of, name, json.dumps({"offset": offset, **body}).encode())
        page = json.loads(reply)
        offset, more = offset + len(page[field]), page["more"]
        yield reply
