"""Read accounts one by one from ACCOUNTZ, within the window."""

from __future__ import annotations

from collections.abc import Callable, Collection

from nats_insights.gather.asking import Asker, Round, each
from nats_insights.gather.window import Window
from nats_insights.replies.accountz import ACCOUNTZ_DETAIL, AccountzDetail, body
from nats_insights.replies.heard import AccountOn

# Requests in flight, and timeouts after which no more are sent.
AT_A_TIME = 8

Take = Callable[[AccountOn, AccountzDetail], None]


async def read_accounts(
    wanted: Collection[AccountOn], asker: Asker, window: Window, take: Take
) -> None:
    """Request each account of one server; `take` gets each that came."""
    this_round = Round(asker, ACCOUNTZ_DETAIL, AT_A_TIME)

    async def one(on: AccountOn) -> None:
        async def reading() -> AccountzDetail:
            async with window.take(asker.expect(ACCOUNTZ_DETAIL, 1)):
                _, told = await asker.one(ACCOUNTZ_DETAIL, on.id, body(on.account))
            detail: AccountzDetail = told
            return detail

        if (told := await this_round.attempt(reading, on.key[-1])) is not None:
            take(on, told)

    await each(one, wanted, AT_A_TIME)
