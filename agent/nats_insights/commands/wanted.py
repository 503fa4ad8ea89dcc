"""Which findings `watch` shows: those that pass every filter of its command line."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any, get_args

from msgspec import Struct

from nats_insights import subjects
from nats_insights.commands.ask import every_row
from nats_insights.connection.client import Client
from nats_insights.errors import ConnectError, RequestError
from nats_insights.tell.messages import ChecksReply, FindingState, SeverityName
from nats_insights.text import nearest, plain

SEVERITIES: tuple[str, ...] = get_args(SeverityName)[::-1]


class Wanted(Struct, frozen=True, kw_only=True):
    """Filters of findings; what is empty lets every finding pass.

    `codes` are those of the `checks` that were asked for.
    """

    severity: str = ""
    codes: frozenset[str] = frozenset()
    checks: str = ""
    cluster: str = ""
    server: str = ""
    account: str = ""
    user: str = ""

    def admits(self, finding: FindingState) -> bool:
        """Whether a finding passes every filter."""
        entity = finding.entity
        return (
            (not self.severity or finding.severity in worse_than(self.severity))
            and (not self.codes or finding.code in self.codes)
            and self.cluster in ("", entity.cluster)
            and self.server in ("", entity.server)
            and self.account in ("", entity.account, entity.account_name)
            and self.user in ("", entity.user, entity.name if entity.user else "")
        )

    @property
    def subject(self) -> str:
        """The narrowest subject that has all of these advisories.

        It is a single one, since messages of two subscriptions arrive in any order.
        """
        severity = "CRITICAL" if self.severity == "critical" else "*"
        cluster = subjects.token(self.cluster) if self.cluster else "*"
        code = subjects.token(self._only_code) if self._only_code else "*"
        return f"{subjects.ADVISORY}.{severity}.*.{cluster}.*.{code}.*"

    @property
    def request(self) -> dict[str, Any]:
        """The fields of FINDINGS that leave out most of what is not wanted."""
        given = {
            "code": self._only_code,
            "severity_at_least": self.severity,
            "cluster": self.cluster,
            "server": self.server,
            "account": self.account,
            "user": self.user,
        }
        return {name: value for name, value in given.items() if value}

    def words(self) -> str:
        """The filters as a person would say them, "" if there are none."""
        labels = ((name, getattr(self, name)) for name in ("cluster", "server", "account", "user"))
        said = {"warning": ["warning and worse"], "critical": ["critical"]}.get(self.severity, [])
        said = [*said, plain(self.checks)] if self.checks else said
        return ", ".join([*said, *(f"{name} {plain(value)}" for name, value in labels if value)])

    @property
    def _only_code(self) -> str:
        return next(iter(self.codes)) if len(self.codes) == 1 else ""


def options(parser: ArgumentParser) -> None:
    """The filters."""
    parser.add_argument(
        "--severity",
        type=str.lower,
        choices=SEVERITIES[::-1],
        help="only findings of this severity and worse",
    )
    parser.add_argument(
        "--code",
        action="append",
        default=[],
        metavar="CODE",
        help="only findings of this check, by its code or name, or of those that fit a pattern "
        "such as 'SERVER_*'; may be given several times",
    )
    parser.add_argument(
        "--cluster", metavar="NAME", help="only findings about this cluster and what is in it"
    )
    parser.add_argument(
        "--server-name", dest="of_server", metavar="NAME", help="only findings about this server"
    )
    parser.add_argument(
        "--account", metavar="NAME", help="only findings about this account and what is in it"
    )
    parser.add_argument(
        "--user-name", dest="of_user", metavar="NAME", help="only findings about this user"
    )


async def wanted(args: Namespace, client: Client) -> Wanted:
    """The filters that were given; RequestError for a check that nobody knows."""
    return Wanted(
        severity=args.severity or "",
        codes=frozenset(await _codes(args.code, client)) if args.code else frozenset(),
        checks=", ".join(args.code),
        cluster=args.cluster or "",
        server=args.of_server or "",
        account=args.account or "",
        user=args.of_user or "",
    )


def worse_than(severity: str) -> tuple[str, ...]:
    """This severity and those that are worse."""
    return SEVERITIES[SEVERITIES.index(severity) :]


def codes(given: Iterable[str], known: dict[str, str]) -> set[str]:
    """The codes of the checks that are given by code, name or pattern.

    `known` are the names of all checks by their codes. A pattern that fits codes is not tried on
    names. RequestError with the nearest if one is unknown.
    """
    found: set[str] = set()
    for word in given:
        code, name = word.upper(), word.lower().replace("-", "_")
        matching = {one for one in known if fnmatchcase(one, code)}
        matching = matching or {one for one in known if fnmatchcase(known[one], name)}
        if not matching:
            near = nearest(code, known) or nearest(name, known.values())
            hint = f"did you mean {near}?" if near else "`nats-insights checks` lists them"
            raise RequestError(f"there is no check {word[:80]!r}; {hint}")
        found |= matching
    return found


async def _codes(given: list[str], client: Client) -> set[str]:
    try:
        reply = await every_row(client, "CHECKS", ChecksReply, "checks")
    except (ConnectError, RequestError):
        # Asking an agent needs no checks, and importing them takes as long as all the rest.
        from nats_insights.commands.catalogue import known_checks

        own = {check.code: check.name for check in known_checks(Namespace(checks=[]))}
        try:
            return codes(given, own)
        except RequestError as unknown:
            raise RequestError(f"no agent answers, and in this program {unknown}") from None
    return codes(given, {check.code: check.name for check in reply.checks})
