"""Parameters of every kind, as queries and commands tell them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import defstruct

from kit.asked import view
from nats_insights.check import (
    CRITICAL,
    INFO,
    OFF,
    VARZ,
    WARNING,
    Check,
    Params,
    Server,
    check,
    choice,
    duration,
    flag,
    limit,
    text,
)
from nats_insights.commands import show
from nats_insights.tell import queries
from nats_insights.tell.messages import ExplainReply
from nats_insights.tell.view import View
from scenario import Story

LIMITS = {
    "low": (
        Annotated[float, limit("%", clear=0.9, severity=WARNING, ge=0, description="l")],
        80.0,
    ),
    "high": (Annotated[float, limit("%", severity=CRITICAL, le=1e9, description="h")], OFF),
    "few": (Annotated[int, limit("rows", "<", gt=0, metadata="few", description="f")], OFF),
    "age": (Annotated[float, duration(">", ge=1, le=3600, insights=OFF, description="a")], 90.0),
    "by": (Annotated[str, choice("mean", "median", insights="median", description="b")], "mean"),
    "tag": (Annotated[str, text(description="t")], "edge"),
    "strict": (Annotated[bool, flag(description="s")], True),
}
KINDS = [(name, *of) for name, of in LIMITS.items()]


def declared() -> Check:
    """A check with parameters of every kind."""
    params = defstruct("Kinds", KINDS, bases=(Params,), frozen=True)

    def of_every_kind(server, params):
        """A server is of every kind.

        Finds: it.

        Why: so.

        Do: that.
        """

    of_every_kind.__annotations__ = {"server": Server, "params": params}
    return check("TEST_903", INFO, "health", needs=(VARZ,))(of_every_kind)


def told_of(config: str) -> View:
    """What an agent with this check alone knows before its first epoch."""
    alone = declared()
    of = view(Story(config, [alone]))
    of.checks = [alone]
    return of


def test_explain_tells_parameters_of_every_kind(capsys):
    of = told_of('profile = "insights"\nchecks.of_every_kind.high = 99')
    told = queries.explain(of, b'{"code": "TEST_903"}')
    assert [(one.value, one.origin) for one in told.check.parameters] == [
        (80.0, "default"),
        (99.0, "config"),
        ("off", "default"),
        ("off", "profile"),
        ("median", "profile"),
        ("edge", "default"),
        (True, "default"),
    ]
    assert msgspec.json.decode(msgspec.json.encode(told), type=ExplainReply) == told
    show.explain(told)
    shown = capsys.readouterr().out.split("Parameters\n")[1].split("\n\n")[0]
    assert [" ".join(line.split()) for line in shown.splitlines()] == [
        "low 80 % l (>= 0); warning",
        "high 99 % h (<= 1000000000); critical",
        "few off f (> 0); owners of assets set few",
        "age off a (>= 1s, <= 1h); off in the profile insights",
        "by median b (mean or median); median in the profile insights",
        'tag "edge" t',
        "strict true s",
    ]
    show.checks(queries.checks(of))
    row = capsys.readouterr().out
    assert 'low=80 high=99 few=off age=off by=median tag="edge" strict=true' in row


def test_explain_tells_what_was_declared_where_a_check_is_disabled(capsys):
    disabled = told_of("checks.of_every_kind.enabled = false")
    told = queries.explain(disabled, b'{"code": "TEST_903"}')
    assert [one.value for one in told.check.parameters][:4] == [80.0, "off", "off", 90.0]
    show.explain(told)
    assert "1m30s" in capsys.readouterr().out
    low, _, _, age, *_ = told.check.parameters
    assert (low.severity, age.comparison) == ("warning", ">")
