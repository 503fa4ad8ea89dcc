"""What `check` prints for other programs: each format is read back by a parser of its own."""

from __future__ import annotations

import re
import shutil
import subprocess
from xml.etree import ElementTree as xml

import msgspec
import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from kit.asked import view
from kit.published import HOSTILE, uneven
from nats_insights.commands import check, junit, plugin
from nats_insights.facts import Coverage
from nats_insights.tell.messages import FindingsReply
from nats_insights.tell.queries import all_checks
from nats_insights.tell.view import View
from scenario import Server, Story, cluster, system

PROMTOOL = shutil.which("promtool")
PIPES = ("a|b", "x | critical=9", "]]><failure/>&amp;<!--")
QUIET = system(cluster(n1=1, n2=1))
# A value, its unit, and four ranges of which the last two are numbers.
DATUM = re.compile(r"(\w+)=([\d.]+)(s?);;;(\d*);?(\d*)")


def said(of: View, form: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What `check` prints of this view."""
    check._print(of, form)
    return capsys.readouterr().out


def after(*systems: object, config: str = "", **missing: object) -> View:
    """What is known after an epoch of each of these systems."""
    story = Story(config)
    for one in systems:
        story.hears(one, **missing)
    return view(story)


def samples(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """The samples of each metric, by the parser of Prometheus' own client."""
    return {
        family.name: [(sample.labels, sample.value) for sample in family.samples]
        for family in text_string_to_metric_families(text)
    }


def cases(text: str) -> dict[str, list[str]]:
    """The tags below each test case, by its name."""
    (suite,) = xml.fromstring(text)
    return {case.get("name"): [child.tag for child in case] for case in suite.iter("testcase")}


SICK = after(uneven("n1"), uneven("n1"))
WELL = after(QUIET, QUIET)


def blind() -> View:
    """One server did not send what two checks need."""
    return after(QUIET, denied={"ROUTEZ"})


def short_of_a_server() -> View:
    """A view in which one of three servers did not answer."""
    seen = after(QUIET, QUIET)
    seen.coverage = Coverage(servers_known=3, servers_answered=2, missing=["n3"])
    return seen


@pytest.mark.parametrize("form", ["text", "nagios"])
@pytest.mark.parametrize(
    ("seen", "line"),
    [
        (WELL, "OK: no findings, 2 of 2 servers answered"),
        (SICK, "CRITICAL: 1 critical, 1 warning, 3 info, 4 of 4 servers answered"),
        (short_of_a_server(), "UNKNOWN: no findings, 2 of 3 servers answered, not n3"),
        (
            blind(),
            "UNKNOWN: no findings, 2 of 2 servers answered, "
            "1 check not evaluated (not permitted: ROUTEZ)",
        ),
    ],
)
def test_the_first_line_has_the_word_of_the_exit_code_and_the_counts(seen, line, form, capsys):
    first = said(seen, form, capsys).splitlines()[0].partition(" | ")[0]
    assert first == line


def test_nagios_reads_performance_data_after_the_one_pipe(capsys):
    text = said(short_of_a_server(), "nagios", capsys)
    assert text.count("|") == 1
    performance = text.splitlines()[0].partition(" | ")[2]
    data = {found[1]: found.groups()[1:] for found in map(DATUM.fullmatch, performance.split())}
    assert data.pop("time")[1:] == ("s", "0", "")
    assert data == {
        "critical": ("0", "", "0", ""),
        "warning": ("0", "", "0", ""),
        "info": ("0", "", "0", ""),
        "servers_answered": ("2", "", "0", "3"),
        "checks_not_evaluated": ("0", "", "0", ""),
    }


def test_prometheus_reads_the_verdict_the_counts_and_each_finding(capsys):
    read = samples(said(SICK, "prometheus", capsys))
    assert {row["verdict"]: value for row, value in read["nats_insights_verdict"]} == {
        "ok": 0,
        "info": 0,
        "warning": 0,
        "critical": 1,
        "unknown": 0,
    }
    counts = {row["severity"]: value for row, value in read["nats_insights_findings"]}
    assert counts == {"critical": 1, "warning": 1, "info": 3}
    assert read["nats_insights_servers_known"] == [({}, 4)]
    assert read["nats_insights_servers_answered"] == [({}, 4)]
    assert read["nats_insights_checks_not_evaluated"] == [({}, 0)]
    rows = [row for row, value in read["nats_insights_finding"] if value == 1]
    assert [row["fingerprint"] for row in rows] == [life.fingerprint for life in SICK.open]
    assert (rows[0]["code"], rows[0]["kind"], rows[0]["entity"]) == ("SERVER_011", "server", "n1")


def test_prometheus_reads_what_is_unknown(capsys):
    read = samples(said(blind(), "prometheus", capsys))
    assert read["nats_insights_checks_not_evaluated"] == [({}, 1)]
    assert ({"verdict": "unknown"}, 1) in read["nats_insights_verdict"]
    assert read["nats_insights_finding"] == []


@pytest.mark.skipif(PROMTOOL is None, reason="there is no promtool")
def test_promtool_has_nothing_to_say_against_the_metrics(capsys):
    text = said(SICK, "prometheus", capsys)
    ran = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")


def test_junit_has_a_case_for_each_check_and_a_failure_for_each_finding_that_counts(capsys):
    text = said(SICK, "junit", capsys)
    assert cases(text) == {
        "all servers answered": [],
        "OPT_BALANCE_002 connection_hotspot": ["system-out"],
        "OPT_BALANCE_003 subscription_hotspot": ["system-out"],
        "OPT_BALANCE_006 account_connection_concentration": ["system-out"],
        "SERVER_011 connection_count_high": ["failure"],
        "USER_002 excessive_user_connections": ["failure"],
    }
    (suite,) = xml.fromstring(text)
    counted = {key: suite.get(key) for key in ("tests", "failures", "errors", "skipped")}
    assert counted == {"tests": "6", "failures": "2", "errors": "0", "skipped": "0"}
    failure = suite.find(".//testcase[@name='SERVER_011 connection_count_high']/failure")
    assert failure.attrib == {
        "type": "critical",
        "message": "n1 has 120 of 120 connections (100 %)",
    }


def test_junit_skips_what_was_not_evaluated_and_leaves_out_what_is_disabled(capsys):
    seen = after(QUIET, config="checks.connection_hotspot.enabled = false", denied={"ROUTEZ"})
    text = said(seen, "junit", capsys)
    read = cases(text)
    assert read["OPT_BALANCE_003 subscription_hotspot"] == ["skipped"]
    assert "OPT_BALANCE_002 connection_hotspot" not in read
    (suite,) = xml.fromstring(text)
    assert (suite.get("skipped"), suite.get("failures")) == ("1", "0")


def test_junit_fails_where_a_server_did_not_answer(capsys):
    text = said(short_of_a_server(), "junit", capsys)
    failure = xml.fromstring(text).find(".//testcase[@name='all servers answered']/failure")
    assert failure.get("message") == "2 of 3 servers answered, not n3"


@pytest.mark.parametrize("name", [*HOSTILE.values(), *PIPES], ids=[*HOSTILE, *PIPES])
def test_no_name_breaks_a_format(name, capsys):
    seen = after(uneven(name), uneven(name))
    seen.coverage = Coverage(servers_known=5, servers_answered=4, missing=[name])
    open_now = len(seen.open)
    text = {form: said(seen, form, capsys) for form in ("text", "nagios", "prometheus", "junit")}
    for one in text.values():
        assert all(c == "\n" or c.isprintable() for c in one)
    lines = text["nagios"].splitlines()
    assert (text["nagios"].count("|"), len(lines)) == (1, 1 + open_now)
    assert len(text["nagios"].encode()) < 8192
    listed = [row for row, _ in samples(text["prometheus"])["nats_insights_finding"]]
    assert [row["fingerprint"] for row in listed] == [life.fingerprint for life in seen.open]
    tags = [tag for below in cases(text["junit"]).values() for tag in below]
    assert tags == ["failure", *3 * ["system-out"], *2 * ["failure"]]


def test_a_sentence_that_a_check_wrote_breaks_no_format(capsys):
    reply = msgspec.json.decode(said(SICK, "json", capsys), type=FindingsReply)
    (worst, *_) = reply.findings
    wild = replace(worst, summary="a\0b\x1b|\ud800\n", remediation="c\0d\ne\x1b")
    reply = replace(reply, findings=[wild])
    _, line, *_ = plugin.nagios(reply).splitlines()
    assert line == "CRITICAL SERVER_011 a\\x00b\\x1b\\x7c\\ud800\\n"
    (failure,) = xml.fromstring(junit.junit(reply, all_checks(SICK))).iter("failure")
    assert failure.get("message") == "a\\x00b\\x1b|\\ud800\\n"
    assert failure.text == "c\\x00d\ne\\x1b"


def test_a_name_is_read_back_from_a_label_as_it_is(capsys):
    name = 'a"b\\c{d="e"},f'
    read = samples(said(after(uneven(name), uneven(name)), "prometheus", capsys))
    assert read["nats_insights_finding"][0][0]["cluster"] == name


def test_many_findings_are_listed_in_part_and_counted_in_full(capsys):
    crowd = cluster(
        **{f"n{i:03}": Server(users={f"u{i}": 30}, max_connections=31) for i in range(150)}
    )
    seen = after(system(crowd))
    number = len(seen.open)
    assert number == 150
    nagios = said(seen, "nagios", capsys)
    assert (nagios.splitlines()[-1], len(nagios) < 8192) == ("and 110 more findings", True)
    read = samples(said(seen, "prometheus", capsys))
    assert len(read["nats_insights_finding"]) == 100
    assert sum(value for _, value in read["nats_insights_findings"]) == number
    assert cases(said(seen, "junit", capsys))["SERVER_011 connection_count_high"] == 101 * [
        "failure"
    ]
