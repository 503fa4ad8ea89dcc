"""A stranger adds a check of any shape: one file and one file of its test, and nothing else.

Each shape becomes a check of a package that this program has never seen.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import dedent, indent
from typing import NamedTuple

import pytest

from nats_insights.__main__ import main
from nats_insights.judge.declare import discover
from nats_insights.testing import contract

PACKAGE, MISTAKEN = "stranger_checks", "stranger_mistakes"
IMPORTS = """
from __future__ import annotations
from typing import Annotated, Any
from nats_insights.check import *
"""
DOCUMENTATION = '''
"""Something is as it should not be.

Finds: whatever this check finds, which is told in a sentence of some length.

Why: because a paragraph is wanted here, and it is as long as this one.

Do: nothing, because the system that it speaks of is in a test, and in nothing else.
"""
'''
TESTS = """
from nats_insights.testing import *
OWNER = {"io.nats.monitor.enabled": "true", "acme.most": "1"}
"""


class Shape(NamedTuple):
    """What a check and its table of cases say, without what all of them say."""

    check: str
    cases: str


SHAPES = {
    "figures_of_one_reply": Shape(
        """
        class Busy(Params, frozen=True):
            percent: Annotated[
                float, limit("%", clear=0.9, gt=0, description="of one of its cores")
            ] = 300.0

        @check("ACME_001", WARNING, "performance", needs=(VARZ,))
        def figures_of_one_reply(server: Server, params: Busy) -> Finding | None:
            DOCUMENTATION
            if (reached := params.reached(server.varz.cpu)) is None:
                return None
            return reached.finding(f"{server.name} uses {server.varz.cpu:.0f} % of a core")
        """,
        """
        "fires at the limit": (system(cluster(n1=Server(varz={"cpu": 300.0}))), {"C1 n1"}),
        "quiet below": (system(cluster(n1=Server(varz={"cpu": 299.0}))), set()),
        """,
    ),
    "servers_of_a_cluster": Shape(
        """
        @check("ACME_002", INFO, "consistency", needs=(VARZ,), open_after=2, settle=True)
        def servers_of_a_cluster(cluster: Cluster) -> Finding | None:
            DOCUMENTATION
            told = {server.varz.max_payload for server in cluster.servers}
            if len(told) < 2:
                return None
            return Finding(
                summary=f"{cluster.name} takes payloads of {len(told)} sizes",
                value=len(told), threshold=2, unit="sizes",
            )
        """,
        """
        "fires where one differs": (
            system(cluster(n1=Server(varz={"max_payload": 1}), n2=1, n3=1)), {"C1"}
        ),
        "quiet where all are alike": (system(cluster(n1=1, n2=1)), set()),
        "quiet while one is silent": (
            system(cluster(n1=1, n2=hung, n3=Server(varz={"max_payload": 1}))), set()
        ),
        """,
    ),
    "fold_over_rows": Shape(
        """
        @fold("lang")
        def by_language(rows: list[Connection], tally: Tally, params: object) -> None:
            tally.update([(row.account, row.lang) for row in rows])

        @check("ACME_003", INFO, "consistency", needs=(STATZ, by_language))
        def fold_over_rows(account: Account) -> Finding | None:
            DOCUMENTATION
            odd = account.folded(by_language)[account.name, "cobol"]
            if not odd:
                return None
            return Finding(
                summary=f"{odd} clients speak cobol", value=odd, threshold=1, unit="clients"
            )
        """,
        """
        "fires for each account": (
            system(cluster(n1=Server(9, rows=(row(lang="cobol"), row(account="B", lang="cobol"))))),
            {"APP", "B"},
        ),
        "quiet about others": (system(cluster(n1=Server(9, rows=(row(lang="go"),)))), set()),
        "quiet while a server is silent": (
            system(cluster(n1=Server(rows=(row(lang="cobol"),)), n2=hung)), set()
        ),
        """,
    ),
    "worst_rows": Shape(
        """
        class Many(Params, frozen=True):
            most: Annotated[
                int, limit("subscriptions", ">", clear=0.9, ge=1, description="of one client")
            ] = 1000

        @worst("subscriptions", rows=8, every=300.0)
        def subscribed(row: Row, params: Many) -> bool:
            return row.subscriptions > params.most

        @check("ACME_016", INFO, "performance", needs=(by_user, subscribed))
        def worst_rows(user: User, params: Many) -> Finding | None:
            DOCUMENTATION
            many = [row for row in user.seen_rows(subscribed) if row.subscriptions > params.most]
            if not many or (reached := params.reached(many[0].subscriptions)) is None:
                return None
            return reached.finding(
                f"a client of {user.name} holds {many[0].subscriptions} subscriptions",
                connections=subscribed.named(many),
            )
        """,
        """
        "fires for the user": (
            system(cluster(n1=Server(9, rows=(row(subscriptions=1001, account="B"),)), n2=9)),
            {"B app"},
        ),
        "quiet at the limit": (
            system(cluster(n1=Server(9, rows=(row(subscriptions=1000),)))), set()
        ),
        """,
    ),
    "one_user": Shape(
        """
        class Few(Params, frozen=True):
            most: Annotated[
                int, limit("connections", ">", clear=0.9, ge=1, description="of one user")
            ] = 100

        @check("ACME_004", WARNING, "saturation", needs=(by_user,), above="most")
        def one_user(user: User, params: Few) -> Finding | None:
            DOCUMENTATION
            if (reached := params.reached(user.seen_connections)) is None:
                return None
            return reached.finding(f"{user.name} has {user.seen_connections} connections")
        """,
        """
        "fires over all servers": (
            system(cluster(n1=1, n2=Server(users={"B bob": 60}), n3=Server(users={"B bob": 41}))),
            {"B bob"},
        ),
        "quiet at the limit": (system(cluster(n1=Server(users={"B bob": 100}))), set()),
        """,
    ),
    "one_account": Shape(
        """
        @check("ACME_005", INFO, "change", needs=(STATZ,))
        def one_account(account: Account) -> Finding | None:
            DOCUMENTATION
            if account.connections < 200:
                return None
            return Finding(
                summary=f"account {account.name} has {account.connections} connections",
                value=account.connections, threshold=200, unit="connections",
            )
        """,
        """
        "fires over all servers": (system(cluster(n1=120, n2=120)), {"APP"}),
        "quiet below": (system(cluster(n1=120)), set()),
        "quiet while a server is silent": (system(cluster(n1=220, n2=hung)), set()),
        """,
    ),
    "history_of_changes": Shape(
        """
        @changes(keep=86_400)
        def loaded(server: Server) -> str:
            return server.varz.config_load_time

        @check("ACME_006", INFO, "change", needs=(VARZ, loaded), news=False)
        def history_of_changes(server: Server) -> Finding | None:
            DOCUMENTATION
            if not server.past(loaded).changed_within(600):
                return None
            return Finding(summary=f"{server.name} has another configuration")
        """,
        """
        "fires when it changes": (
            then(
                system(cluster(n1=1, n2=Server(varz={"config_load_time": "yesterday"}))),
                system(cluster(n1=1, n2=Server(varz={"config_load_time": "today"}))),
            ),
            {"C1 n2"},
        ),
        "quiet at first sight": (
            system(cluster(n1=1, n2=Server(varz={"config_load_time": "today"}))), set()
        ),
        "quiet where nothing changes": (then(*3 * [system(cluster(n1=1, n2=1))]), set()),
        """,
    ),
    "history_of_samples": Shape(
        """
        class Churn(Params, frozen=True):
            per_second: Annotated[
                float, limit("connections/s", clear=0.8, gt=0, description="on one server")
            ] = 10.0

        @samples(keep=600, every=30)
        def accepted(server: Server) -> int:
            return server.varz.total_connections

        @check("ACME_007", WARNING, "performance", needs=(VARZ, accepted))
        def history_of_samples(server: Server, params: Churn) -> Finding | None:
            DOCUMENTATION
            rate = server.past(accepted).rate(120)
            if (reached := params.reached(rate)) is None:
                return None
            return reached.finding(f"{server.name} accepts {rate:.0f} connections a second")
        """,
        """
        "fires where many come": (
            then(*[system(cluster(n1=Server(5, accepted=n), n2=5)) for n in range(0, 9000, 900)]),
            {"C1 n1"},
        ),
        "quiet where few come": (
            then(*[system(cluster(n1=Server(5, accepted=n), n2=5)) for n in range(0, 2000, 200)]),
            set(),
        ),
        "quiet where too little is known": (system(cluster(n1=Server(5, accepted=9000))), set()),
        """,
    ),
    "endpoint_of_its_own": Shape(
        """
        class Expvarz(Reply, gc=False):
            leaks: int = 0

        EXPVARZ = Endpoint("EXPVARZ", Expvarz, every=60.0)

        @check("ACME_008", WARNING, "errors", needs=(EXPVARZ,))
        def endpoint_of_its_own(server: Server) -> Finding | None:
            DOCUMENTATION
            if not (leaks := server.reply(EXPVARZ).leaks):
                return None
            return Finding(
                summary=f"{server.name} leaks {leaks} times", value=leaks, threshold=1, unit="leaks"
            )
        """,
        """
        "fires where there is one": (
            system(cluster(n1=Server(replies={"EXPVARZ": module.Expvarz(leaks=1)}), n2=1)),
            {"C1 n1"},
        ),
        "quiet without": (system(cluster(n1=1)), set()),
        """,
    ),
    "noun_of_its_own": Shape(
        """
        class Websocket(Noun):
            kind, scope, depends_on = "listener", "SERVER", ITS_SERVER
            labelled = ("cluster", "server", "listener")

            def __init__(self, server: Server) -> None:
                self.server, self.snapshot = server, server.snapshot
                self.names = (*server.names, "websocket")

            @classmethod
            def all(cls, snapshot: Any) -> Any:
                for server in snapshot.servers.values():
                    if VARZ.key in server.replies and server.varz.ws_connect_urls:
                        yield cls(server)

            @property
            def rests_on(self) -> Any:
                return self.server.names

            @property
            def metadata(self) -> Any:
                return self.server.varz.metadata or {}

            def labels(self) -> dict[str, str]:
                return self.server.labels() | {"listener": "websocket"}

        class Urls(Params, frozen=True):
            most: Annotated[
                int,
                limit("URLs", ">", ge=0, metadata="acme.most", description="that it announces"),
            ] = OFF

        @check("ACME_009", INFO, "consistency", needs=(VARZ,))
        def noun_of_its_own(listener: Websocket, params: Urls) -> Finding | None:
            DOCUMENTATION
            urls = listener.server.varz.ws_connect_urls
            if (reached := params.reached(len(urls))) is None:
                return None
            return reached.finding(f"{listener.server.name} announces {len(urls)} URLs")
        """,
        """
        "fires by the limit of its owner": (
            system(
                cluster(
                    n1=Server(varz={"ws_connect_urls": ("a", "b"), "metadata": OWNER}),
                    n2=1,
                )
            ),
            {"C1 n1 websocket"},
        ),
        "quiet without such a limit": (
            system(cluster(n1=Server(varz={"ws_connect_urls": ("a", "b")}))), set()
        ),
        """,
    ),
    "yes_or_no": Shape(
        """
        @check("ACME_010", CRITICAL, "health", needs=(VARZ,))
        def yes_or_no(server: Server) -> Finding | None:
            DOCUMENTATION
            if not server.varz.http_port:
                return None
            return Finding(summary=f"{server.name} has an open door")
        """,
        """
        "fires if so": (system(lone(a=Server(varz={"http_port": 8222}))), {"a"}),
        "quiet if not": (system(lone(a=1)), set()),
        """,
    ),
    "less_is_worse": Shape(
        """
        class Small(Params, frozen=True):
            cores: Annotated[
                int, limit("cores", "<", clear=1.5, ge=1, description="of a server")
            ] = 2

        @check("ACME_011", INFO, "performance", needs=(VARZ,))
        def less_is_worse(server: Server, params: Small) -> Finding | None:
            DOCUMENTATION
            cores = server.varz.cores
            if not cores or (reached := params.reached(cores)) is None:
                return None
            return reached.finding(f"{server.name} has {cores} core")
        """,
        """
        "fires below": (system(cluster(n1=Server(varz={"cores": 1}))), {"C1 n1"}),
        "quiet at the limit": (system(cluster(n1=Server(varz={"cores": 2}))), set()),
        """,
    ),
    "bands": Shape(
        """
        class Full(Params, frozen=True):
            percent: Annotated[
                float,
                limit("%", clear=0.9, gt=0, le=100, severity=WARNING, description="of its memory"),
            ] = 50.0
            critical_percent: Annotated[
                float,
                limit("%", clear=0.9, gt=0, le=100, severity=CRITICAL, description="of its memory"),
            ] = 90.0

        @check("ACME_012", WARNING, "saturation", needs=(VARZ,))
        def bands(server: Server, params: Full) -> Finding | None:
            DOCUMENTATION
            percent = server.varz.mem / 2**20
            if (reached := params.reached(percent)) is None:
                return None
            return reached.finding(f"{server.name} uses {percent:.0f} %", mem=server.varz.mem)
        """,
        """
        "fires in the first": (system(cluster(n1=Server(varz={"mem": 50 * 2**20}))), {"C1 n1"}),
        "fires in the second": (system(cluster(n1=Server(varz={"mem": 95 * 2**20}))), {"C1 n1"}),
        "quiet below": (system(cluster(n1=Server(varz={"mem": 49 * 2**20}))), set()),
        """,
    ),
    "cause": Shape(
        """
        @check("ACME_013", CRITICAL, "health", needs=(), explains=True)
        def cause(member: Member) -> Finding | None:
            DOCUMENTATION
            if member.entry.state != "hung":
                return None
            return Finding(summary=f"{member.entry.name} hangs")
        """,
        """
        "fires for who hangs": (system(cluster(n1=1, n2=hung)), {"C1 n2"}),
        "quiet about who left": (system(cluster(n1=1, n2=left)), set()),
        """,
    ),
    "effect": Shape(
        """
        @check("ACME_014", INFO, "performance", needs=(STATZ,))
        def effect(server: Server) -> Finding | None:
            DOCUMENTATION
            if server.cluster is None or server.connections < 100:
                return None
            return Finding(
                summary=f"{server.name} holds {server.connections} connections",
                value=server.connections, threshold=100, unit="connections",
                involves=tuple(sorted(other.names for other in server.cluster.servers)),
            )
        """,
        """
        "fires at the limit": (system(cluster(n1=100, n2=1)), {"C1 n1"}),
        "quiet below": (system(cluster(n1=99, n2=hung)), set()),
        """,
    ),
    "common_cause": Shape(
        """
        @check("ACME_015", WARNING, "errors", needs=(VARZ,), common=True)
        def common_cause(server: Server) -> Finding | None:
            DOCUMENTATION
            if not (slow := server.varz.slow_consumers):
                return None
            return Finding(
                summary=f"{server.name} has cut off {slow} clients",
                value=slow, threshold=1, unit="clients",
            )
        """,
        """
        "fires for one": (
            system(cluster(n1=Server(varz={"slow_consumers": 1}), n2=1, n3=1)), {"C1 n1"}
        ),
        "fires once for all": (
            system(cluster(**{f"n{i}": Server(varz={"slow_consumers": 1}) for i in range(9)})),
            {*(f"C1 n{i}" for i in range(9)), "system"},
        ),
        "quiet without": (system(cluster(n1=1)), set()),
        """,
    ),
}


MISTAKES = {
    "without_cases": (
        Shape(
            """
            @check("ACME_101", INFO, "health", needs=(VARZ,))
            def without_cases(server: Server) -> Finding | None:
                DOCUMENTATION
                return Finding(summary="so") if server.varz.cpu else None
            """,
            "",
        ),
        "its cases are missing: write HOME/test_without_cases.py with CASES = ",
    ),
    "needs_what_it_does_not_read": (
        Shape(
            """
            @check("ACME_102", INFO, "health", needs=(VARZ, SUBSZ))
            def needs_what_it_does_not_read(server: Server) -> Finding | None:
                DOCUMENTATION
                return Finding(summary="so") if server.varz.cpu else None
            """,
            """
            "fires if so": (system(lone(a=Server(varz={"cpu": 1.0}))), {"a"}),
            "quiet if not": (system(lone(a=1)), set()),
            """,
        ),
        "it needs SUBSZ, but no case depends on it: leave it out, or add a case",
    ),
    "reads_what_it_does_not_need": (
        Shape(
            """
            @check("ACME_103", INFO, "health", needs=(VARZ,))
            def reads_what_it_does_not_need(server: Server) -> Finding | None:
                DOCUMENTATION
                return Finding(summary="so") if server.reply(SUBSZ).num_subscriptions else None
            """,
            """
            "fires if so": (system(lone(a=Server(1, subscriptions=1))), {"a"}),
            "quiet if not": (system(lone(a=1)), set()),
            """,
        ),
        "'fires if so' finds [] instead of ['a']",
    ),
    "sweeps_in_every_epoch": (
        Shape(
            """
            @check("ACME_107", INFO, "health", needs=(local_subscriptions,))
            def sweeps_in_every_epoch(server: Server) -> Finding | None:
                DOCUMENTATION
                many = server.folded(local_subscriptions)["subscriptions"] > 5_000
                return Finding(summary="so") if many else None
            """,
            """
            "fires if so": (system(lone(a=Server(1, subscriptions=5_001))), {"a"}),
            "quiet if not": (system(lone(a=1)), set()),
            """,
        ),
        "3 servers list their connections again in an even cluster, where none moved",
    ),
    "looks_at_the_snapshot": (
        Shape(
            """
            @check("ACME_104", INFO, "health", needs=(STATZ,))
            def looks_at_the_snapshot(server: Server) -> Finding | None:
                DOCUMENTATION
                many = server.snapshot.accounts.get("APP", 0) > 100
                return Finding(summary="so") if many and server.connections else None
            """,
            """
            "fires if so": (system(cluster(n1=90, n2=90)), {"C1 n1", "C1 n2"}),
            "quiet if not": (system(cluster(n1=90)), set()),
            """,
        ),
        ".snapshot knows nothing of what is lacking",
    ),
    "depends_on_the_order": (
        Shape(
            """
            @check("ACME_105", INFO, "health", needs=(VARZ,))
            def depends_on_the_order(cluster: Cluster) -> Finding | None:
                DOCUMENTATION
                busy = [server.name for server in cluster.servers if server.varz.cpu]
                return Finding(summary=f"{busy[0]} is busy") if busy else None
            """,
            """
            "fires for two": (
                system(cluster(n1=Server(varz={"cpu": 1.0}), n2=Server(varz={"cpu": 1.0}))), {"C1"}
            ),
            "quiet if not": (system(cluster(n1=90)), set()),
            """,
        ),
        "'fires for two' is ",
    ),
    "takes_silence_for_an_end": (
        Shape(
            """
            @check("ACME_106", INFO, "health", needs=(by_user,))
            def takes_silence_for_an_end(system: System) -> Finding | None:
                DOCUMENTATION
                return Finding(summary="so") if len(system.seen(by_user)) < 2 else None
            """,
            """
            "fires for one user": (
                system(cluster(n1=Server(users={"B bob": 1}), n2=Server(users={"B bob": 1}))),
                {"system"},
            ),
            "quiet for two": (
                system(cluster(n1=Server(users={"B a": 1}), n2=Server(users={"B b": 1}))), set()
            ),
            """,
        ),
        "quiet for two: without CONNZ of n1 it opens ['opened ACME_106 system']",
    ),
}


def write(home: Path, package: str, shapes: Mapping[str, Shape]) -> None:
    """A package of checks, and a test of each in the folder beside it."""
    (home / package).mkdir()
    (home / package / "__init__.py").write_text('"""Checks of a stranger."""\n')
    for name, shape in shapes.items():
        text = dedent(shape.check).replace("    DOCUMENTATION\n", indent(DOCUMENTATION, "    "))
        (home / package / f"{name}.py").write_text(f'"""{name}"""{IMPORTS}{text}')
        if shape.cases:
            module = f"from {package} import {name} as module\n"
            (home / f"test_{name}.py").write_text(f"{TESTS}{module}CASES = {{{shape.cases}}}\n")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of the packages and of their tests."""
    home = tmp_path_factory.mktemp("stranger")
    write(home, PACKAGE, SHAPES)
    write(home, MISTAKEN, {name: shape for name, (shape, _) in MISTAKES.items()})
    (home / "test_contract.py").write_text(
        f"from pathlib import Path\nimport {PACKAGE}\nfrom nats_insights.testing import contract\n"
        f"test_contract = contract.of({PACKAGE}, Path(__file__).parent)\n"
    )
    sys.path.insert(0, str(home))
    yield home
    sys.path.remove(str(home))
    for name in [name for name in sys.modules if name.partition(".")[0] in (PACKAGE, MISTAKEN)]:
        del sys.modules[name]


def wrong(name: str, package: str, home: Path) -> list[str]:
    """What the contract says of one check."""
    made = importlib.import_module(package)
    (check,) = (check for check in discover(made) if check.name == name)
    tested = contract.Tested(check, made, home)
    return [sentence for clause in contract.CLAUSES for sentence in clause(tested)]


def test_each_file_is_found(home):
    found = {check.name for check in discover(importlib.import_module(PACKAGE))}
    assert found == SHAPES.keys()


@pytest.mark.parametrize("name", SHAPES)
def test_a_check_of_any_shape_keeps_the_contract(name, home):
    assert wrong(name, PACKAGE, home) == []


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_breaks_the_contract(name, home):
    _, expected = MISTAKES[name]
    expected = expected.replace("HOME", str(home))
    assert [said for said in wrong(name, MISTAKEN, home) if expected in said]


def test_two_lines_run_the_contract(home):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_contract.py"],
        cwd=home,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(home), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stdout
    assert f"{len(SHAPES) * len(contract.CLAUSES)} passed" in done.stdout


def test_commands_show_them_with_those_that_there_are(home, capsys):
    assert main(["checks", "--own", "--checks", PACKAGE]) == 0
    shown = capsys.readouterr().out
    assert [name for name in (*SHAPES, "connection_hotspot") if name not in shown] == []
