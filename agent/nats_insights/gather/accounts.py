"""Read accounts one by one from ACCOUNTZ, within the window."""

from __future__ import annotations

from collections.abc import Callable, Collection

import nats.errors

from nats_insights.gather.asking import Asker, each
from nats_insights.gather.window import Window
from nats_insights.replies.accountz import ACCOUNTZ_DETAIL, AccountzDetail, body
from nats_insights.replies.fields import Malformed
from nats_insights.replies.heard import Lookup
from nats_insights.replies.unpack import unpack

# Requests in flight, and timeouts after which no more are sent: perhaps all servers hang.
AT_A_TIME = 8

Take = Callable[[Lookup, AccountzDetail], None]


async def read_accounts(
    wanted: Collection[Lookup], asker: Asker, window: Window, take: Take
) -> None:
    """Request each account of one server; `take` gets each that came."""
    late = 0

    async def one(lookup: Lookup) -> None:
        nonlocal late
        if late >= AT_A_TIME or ACCOUNTZ_DETAIL.key in asker.denied:
            return
        try:
            async with window.take(asker.expect(ACCOUNTZ_DETAIL, 1)):
                wants = body(lookup.account)
                message = await asker.ask(ACCOUNTZ_DETAIL, lookup.server_id, wants)
            payload = unpack(message.data, message.headers)
            info, told = ACCOUNTZ_DETAIL.decode(payload)
            if info.id != lookup.server_id:
                raise Malformed("another server's reply")
        except (Malformed, nats.errors.Error) as problem:
            late += isinstance(problem, nats.errors.TimeoutError)
            asker.complain(ACCOUNTZ_DETAIL, lookup.server[-1], problem)
        else:
            take(lookup, told)

    await each(one, wanted, AT_A_TIME)
