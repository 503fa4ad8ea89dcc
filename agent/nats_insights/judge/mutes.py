"""Mutes: what a person silenced until a time. Muted findings go on, marked as such."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator
from itertools import product

from msgspec import Struct
from msgspec.structs import replace

from nats_insights.judge.audit import Key
from nats_insights.judge.lifecycle import Life, Told, tell

# Mutes at a time.
MOST = 100
# Findings that are compared with the mutes between two yields.
_AT_A_STEP = 256

# What a mute can name. An account and a user have a key, and perhaps a name.
NAMED = ("code", "fingerprint", "cluster", "server", "account", "user")
What = tuple[tuple[str, str], ...]


class Mute(Struct, frozen=True, kw_only=True):
    """One mute, of the findings that fit all that it names; times are Unix seconds.

    Accounts and users are named by key or by name. `at` is when it was made.
    """

    code: str = ""
    fingerprint: str = ""
    cluster: str = ""
    server: str = ""
    account: str = ""
    user: str = ""
    until: float
    at: float
    who: str = ""
    why: str = ""

    @property
    def what(self) -> What:
        """What it mutes, which is its identity: there is one mute of the same."""
        return tuple([(name, value) for name in NAMED if (value := getattr(self, name))])


class Mutes:
    """The mutes of one agent, the newest last; `muting` counts the open findings of each."""

    def __init__(self, mutes: Iterable[Mute] = ()) -> None:
        self._mutes = {mute.what: mute for mute in mutes}
        self.muting: dict[What, int] = {}
        # Whether findings may be marked: most systems never have a mute.
        self._marked = True

    def __iter__(self) -> Iterator[Mute]:
        return iter(self._mutes.values())

    def __len__(self) -> int:
        return len(self._mutes)

    def __contains__(self, what: What) -> bool:
        return what in self._mutes

    def add(self, mute: Mute) -> None:
        """Mute from the next epoch on; another mute of the same ends."""
        self.remove(mute.what)
        self._mutes[mute.what] = mute
        self._marked = True

    def remove(self, what: What) -> None:
        """End the mute of this, if there is one."""
        self._mutes.pop(what, None)

    def mark(
        self, lives: dict[Key, Life], told: list[Told], now: float
    ) -> Generator[None, None, list[Told]]:
        """Mark the open findings in `lives`, in steps; returns what to publish of the epoch.

        That is what was `told` of it, and what was muted, or is no longer, since the last epoch.
        """
        if not self._marked:
            return told
        self._mutes = {what: mute for what, mute in self._mutes.items() if mute.until > now}
        silence = _Silence(self)
        # The last word of this epoch on each finding: there is one message about it, not two.
        last = {item.life.key: n for n, item in enumerate(told) if item.life.is_open}
        told, marked = told[:], False
        for number, (key, life) in enumerate(lives.items()):
            if number % _AT_A_STEP == 0:
                yield
            if not life.is_open:
                continue
            marked = marked or bool(life.muted)
            until = silence.until(life)
            if until == life.muted:
                continue
            lives[key], item = _marked(life, until, told[last[key]] if key in last else None, now)
            if key in last:
                told[last[key]] = item
            else:
                told.append(item)
        # There may be mutes by now that were made meanwhile.
        self.muting, self._marked = silence.muting, marked or bool(self._mutes)
        return told


class _Silence:
    """Mutes, by what they name; `muting` counts the findings that were asked about.

    Most of many mutes name the same, such as an account each: one look finds the one that fits.
    """

    def __init__(self, mutes: Iterable[Mute]) -> None:
        self.muting: dict[What, int] = {}
        self._by_names: dict[tuple[str, ...], dict[tuple[str, ...], Mute]] = defaultdict(dict)
        for mute in mutes:
            names, values = zip(*mute.what, strict=True)
            self._by_names[names][values] = mute
            self.muting[mute.what] = 0

    def until(self, life: Life) -> float:
        """Until when it is muted, 0 if it is not."""
        until = 0.0
        for names, mutes in self._by_names.items():
            for values in product(*[_values(life, name) for name in names]):
                if (mute := mutes.get(values)) is not None:
                    self.muting[mute.what] += 1
                    until = max(until, mute.until)
        return until


def _values(life: Life, name: str) -> Iterable[str]:
    """By which values of this name a mute fits a finding."""
    if name == "code":
        return (life.key.code,)
    if name == "fingerprint":
        return (life.fingerprint,)
    value, alias = life.label(name), life.label(f"{name}_name")
    return {value, alias} if alias else (value,)


def _marked(life: Life, until: float, told: Told | None, now: float) -> tuple[Life, Told]:
    """A finding that is muted until then, or no longer, and the message that says so.

    If this epoch already tells of it, its message says so too.
    """
    life = replace(life, muted=until)
    reason = "muted" if until else "unmuted"
    if told is None:
        life = tell(life, now)
        return life, Told(transition="updated", life=life, reason=reason, at=now)
    if told.transition == "opened":
        return life, replace(told, life=life)
    return life, replace(told, transition="updated", life=life, reason=reason)
