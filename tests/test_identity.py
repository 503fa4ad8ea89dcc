"""The identity of findings and messages, which outlives every version of the agent.

The values in here may never change. Users silence, group and store findings by their fingerprint,
subscribe to them by their subject, and streams drop a message that they have by its id. Another
fingerprint renames every finding of every user: all that is open ends and opens again. A new check
may add values; a value that is here stays as it is, whatever the code becomes.
"""

from __future__ import annotations

import pytest

from kit.published import BY_CODE, tell
from scenario import Server, Story, cluster, system

# One server that is hot in every way, beside an agent that was late and cut off.
HOT = Server(120, subscriptions=500, max_connections=120)
UNWELL = system(
    cluster("EU", n1=HOT, n2=1, n3=0, n4=0), names=("agent 1",), cut_offs=["n1"], late=3
)

FINGERPRINTS = {
    "SERVER_011": "1c7b0a8568b335388a3ff424bcb449ee",
    "USER_002": "de7bef990375e85ac96940ac4ac77d8a",
    "OPT_BALANCE_002": "33356a2def079ccea57b35e06db9ef97",
    "OPT_BALANCE_003": "0aa3b1da29c214fbab84aa13eda90664",
    "OPT_BALANCE_006": "ef21f076889f0a38488b9e49414d3844",
    "AGENT_001": "dbaa98f9358d6fd8ebab7a20f2c2ede1",
    "AGENT_002": "3796142b8463f08ca76555abf41fa981",
}
SUBJECTS = {
    "SERVER_011": "CRITICAL.SERVER.EU.n1.SERVER_011",
    "USER_002": "WARNING.ACCOUNT._.APP.USER_002",
    "OPT_BALANCE_002": "INFO.SERVER.EU.n1.OPT_BALANCE_002",
    "OPT_BALANCE_003": "INFO.SERVER.EU.n1.OPT_BALANCE_003",
    "OPT_BALANCE_006": "INFO.ACCOUNT.EU.APP.OPT_BALANCE_006",
    "AGENT_001": "WARNING.SYSTEM._._.AGENT_001",
    "AGENT_002": "WARNING.SYSTEM._._.AGENT_002",
}
IDS = {
    "SERVER_011": "7f96d6ce43cff5d2ab792a090c3c2873",
    "USER_002": "59f05e5276f119b0c32dd0e473f5dc7b",
    "OPT_BALANCE_002": "df0bae474b470d03f439f28beb8af98e",
    "OPT_BALANCE_003": "5db874ff0b4a0d7cbd521afcb564f07a",
    "OPT_BALANCE_006": "1cd24909b34f81f6a8025219802ffa7a",
    "AGENT_001": "2e6dd2eef194a9954aed830e1e54a698",
    "AGENT_002": "1991e5114173d7abb60d6f4443f50461",
}


@pytest.mark.parametrize("code", FINGERPRINTS)
def test_an_opening_has_the_fingerprint_subject_and_id_that_it_always_had(code):
    story = Story(checks=[BY_CODE[code]])
    story.hears(UNWELL)
    if not story.told:
        story.hears(UNWELL)
    (opened,) = story.told
    made, sent = tell(opened)
    assert (made.fingerprint, made.id) == (FINGERPRINTS[code], IDS[code])
    assert sent.subject == f"$INSIGHTS.ADVISORY.{SUBJECTS[code]}.{FINGERPRINTS[code]}"


NAMES = {
    "a server without a cluster": (("", "n1"), "128118591edf0d1701903f2f55e33060"),
    "names that JSON escapes": (('"\\\n', "\x7f"), "ab0f4472f96a8e8515f329a57f9ca473"),
    "names that are not ASCII": (("Zürich", "東京 🐇"), "65fff8678ba15b1dfe533c533b231ad8"),
}


@pytest.mark.parametrize(("names", "expected"), NAMES.values(), ids=NAMES)
def test_a_fingerprint_is_that_of_the_names_whatever_they_are(names, expected):
    assert BY_CODE["SERVER_011"].fingerprint("server", names) == expected


TRANSITIONS = [
    ("opened", "cd8824e0581881d2bb6b8e86d51d62bb"),
    ("updated", "d57a101090d32a12e8c129746ba60a04"),
    ("reminded", "e882a7926391887bdb50b916721d2df3"),
    ("resolved", "9e05c0528cc66cf1c6c09652a74b2f8a"),
    ("opened", "3e1c2b0ac30cffe94b7a6dd85c22f137"),
    ("resolved", "64d23c67196798bb66b4512a3fec2450"),
]


def test_every_transition_has_the_id_that_it_always_had():
    story = Story("lifecycle.remind_every = '60s'", [BY_CODE["SERVER_011"]])
    told = []
    for connections in (80, 89, 89, 89, 99, 10, 10):
        story.hears(system(cluster("EU", n1=Server(connections, max_connections=100))))
        told += [(one.transition, tell(one)[0].id) for one in story.told]
    assert told == TRANSITIONS
