"""Gives live tests clients that are gone when the test ends."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from nats_insights.lab.servers.crowd import Crowd


@pytest.fixture
async def crowd() -> AsyncIterator[Crowd]:
    async with Crowd() as crowd:
        yield crowd
        await crowd.leave(list(crowd))
