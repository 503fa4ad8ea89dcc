"""Assets: the streams and buckets of the agent, as they should be, and what of them differs.

They are created when their owner asks for it, and never changed behind his back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

from msgspec import Struct

from nats_insights import subjects
from nats_insights.config import span

# The history of all advisories, and the last one on each subject.
HISTORY, CURRENT = "INSIGHTS", "INSIGHTS_STATE"
# Buckets: who leads, each key for one TTL; and what agents go on from after a restart.
LEASES, KEPT = "INSIGHTS_LEASE", "INSIGHTS_AGENT"

# Seconds that a leader which vanished keeps the lead, unless the bucket is made otherwise.
LEASE_SECONDS = 15.0
# An entry in CURRENT lives for so many reminder periods. An advisory is valid for two.
REMINDERS, VALID_REMINDERS = 4, 2

_EVERY_ADVISORY = f"{subjects.ADVISORY}.>"
_DAY, _NANOSECONDS = 86_400.0, 1e9
_MIB = 1024 * 1024
_HISTORY_BYTES, _KEPT_BYTES, _LEASE_BYTES = 1024 * _MIB, 256 * _MIB, _MIB
# A finding that is reminded every 15 minutes has 2,880 messages in 30 days: one that changes all
# the time cannot push the others out.
_MESSAGES_OF_A_FINDING = 5000
_DUPLICATES = 300.0
# What says nothing about how an asset works.
_WORDS = ("name", "description")
_DURATIONS = ("max_age", "duplicate_window", "subject_delete_marker_ttl")

Config = Mapping[str, Any]
State = Literal["fits", "differs", "wrong", "missing"]
STATES: tuple[str, ...] = get_args(State)


class Asset(Struct, frozen=True, kw_only=True):
    """A stream as JetStream is asked for it, durations in nanoseconds.

    `bucket` is the name of a key-value bucket, "" for other streams. `faults` finds what about an
    existing one makes it useless, which is more than that it differs.
    """

    config: dict[str, Any]
    bucket: str = ""
    faults: Callable[[Config], list[str]]

    @property
    def name(self) -> str:
        """The name of the stream."""
        return str(self.config["name"])


class Fit(Struct, frozen=True, kw_only=True):
    """How an asset that exists, or does not, compares with what it should be.

    One that `differs` works as its owner wants it; one that is `wrong` does not work.
    """

    state: State
    notes: list[str] = []


def assets(
    *, replicas: int = 1, remind_every: float = 900.0, lease: float = LEASE_SECONDS
) -> list[Asset]:
    """All of them, in the order in which they can be created; durations are in seconds."""
    return [
        _history(replicas),
        _current(replicas, remind_every),
        _bucket(LEASES, "Insights: who leads", replicas, _LEASE_BYTES, faults_of_leases, lease),
        _bucket(KEPT, "Insights: what agents go on from", replicas, _KEPT_BYTES, _faults_of_kept),
    ]


def stream_of(bucket: str) -> str:
    """The name of the stream behind a bucket."""
    return f"KV_{bucket}"


def fit(asset: Asset, existing: Config | None) -> Fit:
    """How the configuration of an existing stream compares; None is none."""
    if existing is None:
        return Fit(state="missing")
    if faults := asset.faults(existing):
        return Fit(state="wrong", notes=faults)
    notes = [
        f"{key} is {_written(key, existing.get(key))}, not {_written(key, value)}"
        for key, value in asset.config.items()
        if key not in _WORDS and not _same(key, existing.get(key), value)
    ]
    return Fit(state="differs" if notes else "fits", notes=notes)


def stores(config: Config, subject: str = _EVERY_ADVISORY) -> bool:
    """Whether a stream stores, and acknowledges, all messages on a subject."""
    wide = config.get("subjects") or ()
    return any(subjects.covers(one, subject) for one in wide) and not config.get("no_ack")


def updated(asset: Asset, existing: Config) -> dict[str, Any]:
    """The existing configuration with the wanted values in it."""
    return {**existing, **asset.config}


def _stream(name: str, about: str, replicas: int, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "description": about,
        "retention": "limits",
        "storage": "file",
        "num_replicas": replicas,
        "max_consumers": -1,
        "max_msgs": -1,
        "max_msg_size": -1,
        "allow_direct": True,
    } | more


def _history(replicas: int) -> Asset:
    config = _stream(
        HISTORY,
        "Insights: all advisories",
        replicas,
        subjects=[_EVERY_ADVISORY],
        discard="old",
        max_age=_nanoseconds(30 * _DAY),
        max_bytes=_HISTORY_BYTES,
        max_msgs_per_subject=_MESSAGES_OF_A_FINDING,
        duplicate_window=_nanoseconds(_DUPLICATES),
        compression="s2",
    )
    return Asset(config=config, faults=_faults_of_history)


def _current(replicas: int, remind_every: float) -> Asset:
    """A mirror: two streams cannot have the same subjects, and the ids of messages that were
    replaced are forgotten, so that a stream with one message per subject would take an old one
    for new.
    """
    config = _stream(
        CURRENT,
        "Insights: the last advisory on each subject",
        replicas,
        mirror={"name": HISTORY},
        discard="old",
        max_age=_nanoseconds(REMINDERS * remind_every),
        max_bytes=_HISTORY_BYTES,
        max_msgs_per_subject=1,
    )

    def faults(existing: Config) -> list[str]:
        return _faults_of_current(existing, remind_every)

    return Asset(config=config, faults=faults)


def _bucket(
    bucket: str,
    about: str,
    replicas: int,
    size: int,
    faults: Callable[[Config], list[str]],
    ttl: float = 0.0,
) -> Asset:
    """A bucket as clients of NATS make it."""
    config = _stream(
        stream_of(bucket),
        about,
        replicas,
        subjects=[f"$KV.{bucket}.>"],
        discard="new",
        max_age=_nanoseconds(ttl),
        max_bytes=size,
        max_msgs_per_subject=1,
        # The server takes no window that is longer than the life of a message.
        duplicate_window=_nanoseconds(min(ttl, 120.0) if ttl else 120.0),
        deny_delete=True,
        allow_rollup_hdrs=True,
    )
    return Asset(config=config, bucket=bucket, faults=faults)


def _faults_of_history(existing: Config) -> list[str]:
    found = _faults_of_any(existing)
    if not stores(existing):
        found.append(f"it does not store and acknowledge all of {_EVERY_ADVISORY}")
    if existing.get("max_msgs_per_subject") == 1:
        found.append("it keeps one message per subject, so that an old one can replace a new one")
    return found


def _faults_of_current(existing: Config, remind_every: float) -> list[str]:
    found = _faults_of_any(existing)
    if (existing.get("mirror") or {}).get("name") != HISTORY:
        found.append(f"it is not a mirror of {HISTORY}")
    if existing.get("max_msgs_per_subject") != 1:
        found.append("it does not keep one message per subject")
    age, least = _seconds(existing.get("max_age")), VALID_REMINDERS * remind_every
    if 0 < age < least:
        found.append(f"max_age is {span(age)}: what is open is valid for {span(least)}")
    return found


def faults_of_leases(existing: Config) -> list[str]:
    """Why no agent can go by the leases in this bucket."""
    found = _faults_of_bucket(existing, LEASES)
    if not existing.get("max_age"):
        found.append("it has no TTL: a leader that vanished would keep the lead")
    return found


def ttl_of(existing: Config) -> float:
    """Seconds after which a bucket drops what was not written again, 0 for never."""
    return _seconds(existing.get("max_age"))


def _faults_of_kept(existing: Config) -> list[str]:
    return _faults_of_bucket(existing, KEPT)


def _faults_of_bucket(existing: Config, bucket: str) -> list[str]:
    found = _faults_of_any(existing)
    subject = f"$KV.{bucket}.>"
    if not stores(existing, subject):
        found.append(f"it does not store and acknowledge all of {subject}")
    return found


def _faults_of_any(existing: Config) -> list[str]:
    found = []
    if (retention := existing.get("retention", "limits")) != "limits":
        found.append(f"retention is {retention}: what was read is removed")
    if existing.get("sealed"):
        found.append("it is sealed: nothing can be written")
    return found


def _same(key: str, one: Any, other: Any) -> bool:
    if key == "mirror":
        return bool((one or {}).get("name") == other["name"])
    # Servers leave out what is not set.
    return bool((one or False) == (other or False))


def _written(key: str, value: Any) -> str:
    if not value and value is not False:
        return "not set"
    if key in _DURATIONS:
        return span(_seconds(value))
    if key == "mirror":
        return str(value.get("name"))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _seconds(nanoseconds: Any) -> float:
    return float(nanoseconds or 0) / _NANOSECONDS


def _nanoseconds(seconds: float) -> int:
    return int(seconds * _NANOSECONDS)
