"""MUTE, UNMUTE and MUTES: what a person silences until a time, and what is silenced now."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec.structs import replace

from nats_insights.config import span
from nats_insights.judge.declare import Check
from nats_insights.judge.mutes import MOST, NAMED, Mute, Mutes
from nats_insights.tell import moments, requests
from nats_insights.tell.advisory import at
from nats_insights.tell.messages import (
    ListRequest,
    MutedRequest,
    MuteRequest,
    MutesReply,
    MuteState,
    UnmuteRequest,
)
from nats_insights.tell.pages import part
from nats_insights.tell.requests import Refused
from nats_insights.tell.selection import named
from nats_insights.tell.view import View

# Seconds that a mute may last: what should be silent for good belongs into the configuration.
LONGEST = 30 * 86_400.0
# Characters of each text.
_MOST_CHARACTERS = {"cluster": 128, "server": 128, "account": 128, "user": 128, "who": 64}
_MOST_CHARACTERS_OF_WHY = 200
# Mutes that a refusal names.
_MOST_NAMED = 5


def mute(view: View, mutes: Mutes, body: bytes, now: float) -> Mute:
    """MUTE at `now`, in Unix seconds: adds the mute, which the next epoch puts in force.

    Refused if it may not be.
    """
    request = requests.read(body, MuteRequest)
    what = _what(view.checks, request)
    _refuse_text("why", request.why, _MOST_CHARACTERS_OF_WHY)
    until = moments.ahead(request.until, now, "until")
    if until <= now:
        raise Refused(400, "until is in the past")
    if until > now + LONGEST:
        raise Refused(
            400,
            f"until is more than {span(LONGEST)} from now: what should be silent for good "
            "belongs into the configuration of the agent",
        )
    made = Mute(**what, until=until, at=now, who=request.who, why=request.why)
    if len(mutes) >= MOST and made.what not in mutes:
        raise Refused(409, f"there are {MOST} mutes already: end one of them by UNMUTE")
    mutes.add(made)
    return made


def unmute(view: View, mutes: Mutes, body: bytes) -> Mute:
    """UNMUTE: ends the mute of exactly this, with the next epoch; Refused if there is none.

    Returns it, with who ended it.
    """
    request = requests.read(body, UnmuteRequest)
    names = _what(view.checks, request)
    what = tuple([(name, value) for name, value in names.items() if value])
    found = [one for one in mutes if one.what == what]
    if not found:
        raise Refused(404, _none(mutes))
    mutes.remove(what)
    return replace(found[0], who=request.who)


def muted(view: View, body: bytes = b"") -> MutesReply:
    """MUTES: as the last epoch had them in force."""
    request = requests.read(body, ListRequest)

    def row(one: Mute) -> MuteState:
        texts = {name: getattr(one, name) for name in (*NAMED, "who", "why")}
        findings = view.muting.get(one.what, 0)
        return MuteState(**texts, until=at(one.until), at=at(one.at), findings=findings)

    return MutesReply(**part(view, request, view.mutes[::-1], "mutes", row))


def words(one: Mute) -> str:
    """What a mute names, such as "code USER_002, account BILLING"."""
    return ", ".join(f"{name} {value}" for name, value in one.what)


def _what(checks: Iterable[Check], request: MutedRequest) -> dict[str, str]:
    """What a request names, with the code of the check; Refused if that is nothing or wrong."""
    what = {name: getattr(request, name) for name in NAMED}
    for name, most in _MOST_CHARACTERS.items():
        _refuse_text(name, getattr(request, name), most)
    if not any(what.values()):
        raise Refused(400, f"name at least one of {', '.join(NAMED)}")
    if request.code:
        what["code"] = named(checks, request.code).code
    what["fingerprint"] = what["fingerprint"].lower()
    if not re.fullmatch("([0-9a-f]{32})?", what["fingerprint"]):
        raise Refused(400, "fingerprint is 32 hex characters, the last token of the subject")
    return what


def _refuse_text(name: str, text: str, most: int) -> None:
    if len(text) > most or not text.isprintable():
        raise Refused(400, f"{name} is text of at most {most} characters that can be printed")


def _none(mutes: Mutes) -> str:
    """Why there is nothing to end."""
    if not len(mutes):
        return "nothing is muted"
    told = [f"({words(one)})" for one in reversed(list(mutes))]
    more = f" and {len(told) - _MOST_NAMED} more" if len(told) > _MOST_NAMED else ""
    return f"no mute names exactly that; there are {' '.join(told[:_MOST_NAMED])}{more}"
