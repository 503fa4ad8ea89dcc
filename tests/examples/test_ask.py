"""A request-reply client, in an ordinary account, on another server than the agent."""

from __future__ import annotations

import pytest

from kit.programs import EXAMPLES, connected, found

pytestmark = pytest.mark.live


@pytest.fixture
async def ask_py(system, run, run_agent, crowd):
    """`await ask_py("severity=info")`: its exit code and its lines, while two things are open."""
    await run_agent(system["n1"], system.user("agent"))
    user, password = system.user("app")
    await crowd.join(system["n2"].url, 12, user=user, password=password)
    async with connected(system["n1"], system.user("agent")) as client:
        await found(client, "OPT_BALANCE_002", "OPT_BALANCE_006")

    async def ask_py(*arguments: str) -> tuple[int | None, list[str]]:
        program = await run(system["n3"], system.user("ops"), EXAMPLES / "ask.py", *arguments)
        said, _ = await program.communicate()
        return program.returncode, said.decode().splitlines()

    return ask_py


def codes(findings: list[str]) -> list[str]:
    return sorted(finding.split()[1] for finding in findings)


async def test_it_prints_the_status_and_all_pages_of_what_is_open(ask_py):
    for arguments in ([], ["limit=1"]):
        code, (status, *findings) = await ask_py(*arguments)
        assert code == 0
        assert status.startswith("info: 3 of 3 servers answered in epoch ")
        assert codes(findings) == ["OPT_BALANCE_002", "OPT_BALANCE_006"]


async def test_it_hands_its_filters_on_and_prints_why_they_are_refused(ask_py):
    _, (_, *findings) = await ask_py("code=OPT_BALANCE_006", "severity=info", "limit=10")
    assert codes(findings) == ["OPT_BALANCE_006"]
    code, said = await ask_py("severity=dire")
    assert code == 1
    assert "there is no severity dire" in said[-1]
