"""Which users to name: those that a check may find, whose names are in the JWTs of connections."""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterable, Iterator

from nats_insights.facts import Names
from nats_insights.judge.audit import Key
from nats_insights.judge.clients import Look
from nats_insights.judge.rules import Rule
from nats_insights.model.jwt_names import JwtNames
from nats_insights.model.nouns.user import User
from nats_insights.model.snapshot import Snapshot
from nats_insights.replies.claims import is_key

# Users that are named in one epoch, those with most connections first.
MOST_USERS = 100
_AT_A_STEP = 64


def unnamed(
    snapshot: Snapshot, rules: Iterable[Rule], held: Iterable[Key], names: JwtNames
) -> Generator[None, None, list[Look]]:
    """A row to read of each user that needs a name; the names of all others are forgotten.

    A user needs one if it is beyond the loosest limit in force anywhere, if an override may match
    its name, or if it has a finding.
    """
    wanted: dict[Names, User] = {}
    for number, user in enumerate(_candidates(snapshot, rules, held)):
        if number % _AT_A_STEP == 0:
            yield
        if is_key(user.name):
            wanted[user.names] = user
    names.keep(set(wanted))
    new = [user for user in wanted.values() if user.names not in names.users]
    looks = []
    for user in heapq.nlargest(MOST_USERS, new, key=lambda user: user.seen_connections):
        yield
        if on := snapshot.held_by(user.counts, user.names):
            server = snapshot.servers[max(sorted(on), key=on.__getitem__)]
            looks.append(Look(server.id, user.account, user.name))
    return looks


def _candidates(snapshot: Snapshot, rules: Iterable[Rule], held: Iterable[Key]) -> Iterator[User]:
    about: dict[str, type[User]] = {}
    for rule in rules:
        kind = rule.check.about
        if not issubclass(kind, User):
            continue
        about[rule.check.code] = kind
        if rule.check.above:
            yield from kind.above(snapshot, getattr(rule.loosest(), rule.check.above))
        elif "user" in rule.labels:
            yield from kind.all(snapshot)
    for key in held:
        if key.code in about and (user := about[key.code].find(snapshot, key.names)) is not None:
            yield user
