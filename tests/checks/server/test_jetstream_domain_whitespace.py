"""SERVER_006: the name of a JetStream domain has whitespace in it."""

from __future__ import annotations

import json

import pytest

from nats_insights.checks.server.jetstream_domain_whitespace import (
    jetstream_domain_whitespace as check,
)
from nats_insights.testing import (
    Server,
    Story,
    System,
    cluster,
    finding,
    found,
    hung,
    lone,
    system,
)
from nats_insights.testing.systems import Replying
from recorded import recorded
from scenario import VERSIONS, read


def of(domain: str) -> Server:
    return Server(varz={"jetstream": {"config": {"domain": domain}}})


def beside(domain: str) -> System:
    return system(cluster(n1=of(domain), n2=of("hub")))


CASES = {
    "fires for a space": (beside("foo bar"), {"C1 n1"}),
    "fires for a tab": (beside("foo\tbar"), {"C1 n1"}),
    "fires for a line break": (beside("foo\n"), {"C1 n1"}),
    "quiet for one word": (beside("foobar"), set()),
    "quiet without a domain": (beside(""), set()),
    "quiet without JetStream": (system(lone(n1=Server(varz={"jetstream": {}}))), set()),
    "fires on a server without a cluster": (system(lone(n1=of("a b"))), {"n1"}),
    "fires though a peer hangs": (system(cluster(n1=of("a b"), n2=hung)), {"C1 n1"}),
}


@pytest.mark.parametrize(("given", "expected"), CASES.values(), ids=CASES)
def test_it_judges_rightly(given, expected):
    assert found(check, given) == expected


def test_it_names_the_domain_printably():
    said = finding(check, beside("a\tb"))
    assert (said.summary, said.value, said.evidence) == (
        "the JetStream domain 'a\\tb' of n1 has whitespace in its name",
        None,
        {"domain": "a\tb"},
    )


def test_it_opens_and_resolves():
    story = Story(checks=[check])
    told = [story.hears(beside(domain)) for domain in ("a b", "ab", "ab")]
    assert told == [["opened SERVER_006 C1 n1"], [], ["resolved SERVER_006 C1 n1"]]
    assert story.told[0].life.summary == "the JetStream domain of n1 has no whitespace in its name"


@pytest.mark.parametrize("version", VERSIONS)
def test_it_finds_one_in_replies_of_real_servers(version):
    # No server that is supported starts with one: the domain is put into what it sent.
    servers = []
    for reply in recorded(version)["VARZ"]:
        if (config := reply["data"]["jetstream"].get("config")) is not None:
            config["domain"] = "my hub"
        info, varz = read("VARZ", json.dumps(reply).encode())
        servers.append(Replying(info, {"VARZ": varz}))
    assert found(check, System(tuple(servers))) == {"EU eu1", "EU eu2", "EU eu3"}
