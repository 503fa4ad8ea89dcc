"""Which users to name: those that a check may find, whose names are in the JWTs of connections."""

from __future__ import annotations

import heapq
from collections.abc import Generator, Iterable, Iterator

from nats_insights.facts import Names
from nats_insights.judge.audit import Key
from nats_insights.judge.clients import Look
from nats_insights.judge.rules import Rule
from nats_insights.model.fold import by_user
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
    wanted: dict[Names, int] = {}
    for number, user in enumerate(_candidates(snapshot, rules, held)):
        if number % _AT_A_STEP == 0:
            yield
        if is_key(user.name):
            wanted[user.names] = user.seen_connections
    names.keep(set(wanted))
    new = {user: count for user, count in wanted.items() if user not in names.users}
    looks = []
    for account, key in heapq.nlargest(MOST_USERS, new, key=new.__getitem__):
        yield
        if on := snapshot.held_by(by_user, (account, key)):
            server = snapshot.servers[max(sorted(on), key=on.__getitem__)]
            looks.append(Look(server.id, account, key))
    return looks


def _candidates(snapshot: Snapshot, rules: Iterable[Rule], held: Iterable[Key]) -> Iterator[User]:
    codes = set()
    for rule in rules:
        if rule.check.about is not User:
            continue
        codes.add(rule.check.code)
        if rule.check.above:
            yield from User.above(snapshot, getattr(rule.loosest(), rule.check.above))
        elif "user" in rule.labels:
            yield from User.all(snapshot)
    for key in held:
        if key.code in codes and (user := User.find(snapshot, key.names)) is not None:
            yield user
