"""What `check` found in Prometheus' text format, for the textfile collector of node exporter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import get_args

from nats_insights.facts import Cost
from nats_insights.tell.messages import FindingsReply, FindingState, StatusReply, Verdict
from nats_insights.text import shortened

# Findings that get a series of their own.
_MOST_FINDINGS = 100
_LONGEST = 128
Sample = tuple[dict[str, str], float | int]


def prometheus(reply: FindingsReply) -> str:
    """All metrics, each a gauge."""
    status = reply.status
    assert isinstance(status, StatusReply)
    assert isinstance(status.cost, Cost)
    coverage, count = status.coverage, status.open
    findings = {"critical": count.critical, "warning": count.warning, "info": count.info}
    return "".join(
        (
            _metric(
                "verdict",
                "Whether this is the verdict, 1 for one of them.",
                [({"verdict": one}, int(one == status.verdict)) for one in get_args(Verdict)],
            ),
            _metric(
                "findings",
                "Open findings by severity.",
                [({"severity": severity}, number) for severity, number in findings.items()],
            ),
            _metric(
                "finding",
                f"An open finding; the {_MOST_FINDINGS} most severe at most.",
                [(_labels(one), 1) for one in reply.findings[:_MOST_FINDINGS]],
            ),
            _metric("servers_known", "Known servers.", [({}, coverage.servers_known)]),
            _metric(
                "servers_answered", "Servers that answered.", [({}, coverage.servers_answered)]
            ),
            _metric(
                "checks_not_evaluated",
                "Checks that lacked data, so that the verdict is unknown.",
                [({}, status.checks_not_evaluated)],
            ),
            _metric(
                "check_duration_seconds",
                "Time from the first request to the verdict.",
                [({}, status.cost.wall_seconds)],
            ),
            _metric(
                "check_timestamp_seconds",
                "When the system was checked, in Unix time.",
                [({}, reply.timestamp.timestamp())],
            ),
        )
    )


def _labels(finding: FindingState) -> dict[str, str]:
    """The fingerprint tells apart what has the same names otherwise."""
    entity = finding.entity
    names = {"entity": entity.name, "cluster": entity.cluster, "account": entity.account}
    return {
        "code": finding.code,
        "check": finding.name,
        "severity": finding.severity,
        "kind": entity.kind,
        **{label: shortened(name, _LONGEST) for label, name in names.items()},
        "fingerprint": finding.fingerprint,
    }


def _metric(name: str, about: str, samples: Iterable[Sample]) -> str:
    return "\n".join([*_lines(f"nats_insights_{name}", about, samples), ""])


def _lines(name: str, about: str, samples: Iterable[Sample]) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} gauge"
    for labels, value in samples:
        inner = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
        yield f"{name}{{{inner}}} {value}" if inner else f"{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
