"""What `check` found as a JUnit report: a test case for each check."""

from __future__ import annotations

from collections import defaultdict
from xml.etree import ElementTree as xml

from nats_insights.facts import Cost
from nats_insights.tell.messages import CheckInfo, FindingsReply, FindingState, StatusReply
from nats_insights.text import plain

# Failures of one test case.
_MOST_FINDINGS = 100


def junit(reply: FindingsReply, checks: list[CheckInfo]) -> str:
    """The report on the checks that are enabled, and on whether all servers answered.

    A finding is a failure, but for one of severity info, which `check` does not fail for either.
    """
    status = reply.status
    assert isinstance(status, StatusReply)
    assert isinstance(status.cost, Cost)
    found: dict[str, list[FindingState]] = defaultdict(list)
    for finding in reply.findings:
        found[finding.code].append(finding)
    cases = [_servers(status)]
    cases += [_case(check, found[check.code]) for check in checks if check.enabled]
    failed = sum(case.find("failure") is not None for case in cases)
    skipped = sum(case.find("skipped") is not None for case in cases)
    counts = {
        "name": "nats-insights",
        "tests": str(len(cases)),
        "failures": str(failed),
        "errors": "0",
        "skipped": str(skipped),
        "time": f"{status.cost.wall_seconds:.3f}",
    }
    root = xml.Element("testsuites", counts)
    suite = xml.SubElement(root, "testsuite", counts)
    suite.set("timestamp", f"{reply.timestamp:%Y-%m-%dT%H:%M:%S}")
    suite.extend(cases)
    xml.indent(root)
    report: bytes = xml.tostring(root, encoding="us-ascii", xml_declaration=True)
    return report.decode()


def _servers(status: StatusReply) -> xml.Element:
    coverage = status.coverage
    case = _test_case("coverage", "all servers answered")
    if not coverage.complete:
        answered = f"{coverage.servers_answered} of {coverage.servers_known} servers answered"
        missing = f", not {', '.join(coverage.missing)}" if coverage.missing else ""
        _add(case, "failure", "unknown", answered + missing)
    return case


def _case(check: CheckInfo, found: list[FindingState]) -> xml.Element:
    case = _test_case(check.category, f"{check.code} {check.name}")
    failures = [finding for finding in found if finding.severity != "info"]
    for finding in failures[:_MOST_FINDINGS]:
        _add(case, "failure", finding.severity, finding.summary, finding.remediation)
    if (rest := len(failures) - _MOST_FINDINGS) > 0:
        _add(case, "failure", "more", f"and {rest} more findings")
    if not failures and check.last and check.last.why:
        xml.SubElement(case, "skipped", message=plain(check.last.why))
    if notes := [finding.summary for finding in found if finding.severity == "info"]:
        lines = [plain(note) for note in notes[:_MOST_FINDINGS]]
        xml.SubElement(case, "system-out").text = "\n".join(lines)
    return case


def _test_case(group: str, name: str) -> xml.Element:
    return xml.Element("testcase", classname=f"nats-insights.{group}", name=name, time="0")


def _add(case: xml.Element, tag: str, type: str, message: str, text: str = "") -> None:
    """XML has no control characters, not even as references: `plain` spells them out."""
    element = xml.SubElement(case, tag, type=type, message=plain(message))
    element.text = "\n".join(map(plain, text.splitlines()))
