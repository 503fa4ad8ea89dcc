"""CONN_902: clients use a library that is far behind the newest one of its language."""

import re
from collections import Counter, defaultdict

from nats_insights.check import (
    INFO,
    Annotated,
    Connection,
    Finding,
    Params,
    System,
    Tally,
    check,
    fold,
    largest,
    limit,
)

_VERSION = re.compile(r"v?(\d{1,6})\.(\d{1,6})(?:\.|$)").match
Libraries = dict[str, dict[tuple[int, int], Counter[str]]]


class Behind(Params, frozen=True):
    majors: Annotated[
        int, limit("major versions", ge=1, description="behind the newest of the language")
    ] = 1
    minors: Annotated[
        int, limit("minor versions", ge=1, description="behind the newest of the same major")
    ] = 20
    connections: Annotated[
        int,
        limit("connections", clear=0.8, ge=1, description="behind; also those of the newest"),
    ] = 10


@fold("lang", "version", slow=True)
def by_library(rows: list[Connection], tally: Tally, params: object) -> None:
    """Connections by language and version of the client library."""
    libraries = Counter([(row.lang, row.version) for row in rows])
    tally.update({(lang[:32], version[:32]): n for (lang, version), n in libraries.items()})


def libraries(system: System) -> Libraries:
    """Connections by language, then major and minor version, then version."""
    found: Libraries = defaultdict(lambda: defaultdict(Counter))
    for (lang, version), count in system.folded(by_library).items():
        if lang and count > 0 and (release := _VERSION(version)):
            found[lang][int(release[1]), int(release[2])][version] += count
    return found


def is_behind(release: tuple[int, int], newest: tuple[int, int], params: Behind) -> bool:
    """Whether a release, as major and minor version, is too far behind."""
    if release[0] != newest[0]:
        return newest[0] - release[0] >= params.majors
    return newest[1] - release[1] >= params.minors


@check("CONN_902", INFO, "consistency", needs=(by_library,), resolve_after=1)
def outdated_clients(system: System, params: Behind) -> Finding | None:
    """Clients use a library that is far behind the newest one of its language.

    Finds: at least `connections` connections use a client library that is `majors` major versions
    behind the newest of the same language in this system, or `minors` minor versions. The newest
    is one that at least `connections` connections use. Connections are surveyed every four hours.

    Why: old libraries lack corrections of how they reconnect and answer PING, and newer features
    of the server. What is newest here already works with these servers.

    Do: list the languages and versions with `nats-insights findings --code CONN_902 --format json`,
    and those of each client with `nats server request connections`. Update such programs to the
    version that others here already use.

    Default: libraries have some ten minor versions in a year; a stray client is left alone.
    """
    behind: Counter[str] = Counter()
    newest_of: dict[str, str] = {}
    for lang, releases in system.memo(libraries).items():
        used = [one for one, versions in releases.items() if versions.total() >= params.connections]
        newest = max(used, default=(0, 0))
        old = [one for one in releases if is_behind(one, newest, params)]
        for version, count in [item for one in old for item in releases[one].items()]:
            behind[f"{lang} {version}"] = count
            newest_of[lang] = f"{newest[0]}.{newest[1]}"
    if (reached := params.reached(behind.total(), "connections")) is None:
        return None
    evidence = largest(behind)
    return reached.finding(
        f"{behind.total():,} connections use a client library that is far behind the newest here, "
        f"most of them {evidence['top'][0][0]}",
        libraries=evidence,
        newest=newest_of,
    )
