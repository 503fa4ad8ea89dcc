"""OPT_SYS_011: one subject has far more subscriptions than others."""

from nats_insights.check import INFO, SUBSZ, Annotated, Finding, Params, Server, check, limit


class Fanout(Params, frozen=True):
    ratio: Annotated[
        float, limit("x", clear=0.8, gt=1, description="times the mean of all recent subjects")
    ] = 10.0
    min_fanout: Annotated[
        int,
        limit("subscriptions", clear=0.8, insights=1, ge=1, description="that match one subject"),
    ] = 10_000


@check("OPT_SYS_011", INFO, "consistency", needs=(SUBSZ,), open_after=2, news=False, common=True)
def subscription_fanout_anomaly(server: Server, params: Fanout) -> Finding | None:
    """One subject has far more subscriptions than others on the same server.

    Finds: a recent message on a server matched `min_fanout` subscriptions or more, and `ratio`
    times the mean of all recent subjects. A queue group counts once, and so does another server
    with interest in the subject. A mean below one counts as one.

    Why: the server writes such a message as many times before it reads on from its publisher, so
    that a few publishers on this subject keep it busy, and slow clients on it are cut off.

    Do: ask who subscribes so often: instances that should share the work belong into a queue group,
    and one client does not need the same subscription twice. If all of them need each message,
    spread them over more servers than {server}.

    Default: ten thousand copies of one message take milliseconds, for which its publisher waits.

    Catalogue: corrected: a broadcast to some hundreds of clients is ordinary.
    """
    told = server.reply(SUBSZ)
    mean = max(1.0, told.avg_fanout)
    if told.max_fanout < max(params.min_fanout, params.ratio * mean):
        return None
    return Finding(
        value=round(told.max_fanout / mean, 1),
        threshold=params.ratio,
        unit="x",
        summary=f"a subject has {told.max_fanout:,} subscriptions on {server.name}, "
        f"{told.max_fanout / mean:,.1f} times the mean",
        evidence={"mean": round(told.avg_fanout, 2), "subjects": told.num_cache},
    )
