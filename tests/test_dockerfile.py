"""The Dockerfile, without Docker: linted, and each of its steps run as plain commands."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from nats_insights.__main__ import parser
from nats_insights.lab.servers import local
from nats_insights.lab.servers.crowd import Crowd

ROOT = Path(__file__).parent.parent
# The directories that the steps name, each of which stands below the test's own.
PLACES = ("/src", "/wheels", "/opt/nats-insights")
PREFIX = "org.opencontainers.image."


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage, as keyword and rest, comments left out."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.M)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    found: list[list[tuple[str, str]]] = []
    for line in filter(None, lines):
        keyword, _, rest = line.partition(" ")
        if keyword == "FROM":
            found.append([])
        found[-1].append((keyword, rest))
    return found


BUILD, FINAL = stages()
EVERY = [*BUILD, *FINAL]


def given(stage: list[tuple[str, str]], keyword: str) -> list[str]:
    return [rest for found, rest in stage if found == keyword]


def last(keyword: str) -> str:
    """What the final image has of an instruction that may stand once."""
    (rest,) = given(FINAL, keyword)
    return rest


# --- Lint. The rules are hadolint's, by their numbers.


def test_every_base_is_official_and_pinned_by_minor_version():  # DL3006, DL3007
    bases = [rest.split()[0] for rest in given(EVERY, "FROM")]
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", bases[0])


def test_the_python_of_the_image_is_one_that_the_package_supports():
    minor = re.search(r"3\.\d+", given(FINAL, "FROM")[0])[0]
    assert f"Programming Language :: Python :: {minor}" in (ROOT / "pyproject.toml").read_text()


def test_the_final_image_runs_nothing_as_root():  # DL3002
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last("USER"))
    assert given(FINAL, "RUN") == []
    assert [keyword for keyword, _ in FINAL].index("USER") > [k for k, _ in FINAL].index("COPY")


@pytest.mark.parametrize("keyword", ["ENTRYPOINT", "CMD"])
def test_no_shell_is_needed_to_run_it(keyword):  # DL3025
    assert all(isinstance(word, str) for word in json.loads(last(keyword)))


def test_its_directories_are_absolute():  # DL3000, DL3045
    (workdir,) = given(BUILD, "WORKDIR")
    assert workdir in PLACES
    assert all(rest.split()[-1].startswith("/") for rest in given(FINAL, "COPY"))


def test_it_copies_and_never_adds():  # DL3020
    assert given(EVERY, "ADD") == []


def test_pip_keeps_no_cache():  # DL3042
    assert "PIP_NO_CACHE_DIR=1" in given(BUILD, "ENV")[0].split()


def test_each_stage_has_one_step():  # DL3059
    assert [len(given(stage, "RUN")) for stage in (BUILD, FINAL)] == [1, 0]


def test_it_uses_neither_sudo_nor_apt():  # DL3004, DL3008, DL3009
    assert not re.search(r"\b(sudo|apt|apt-get|curl|wget)\b", " ".join(given(EVERY, "RUN")))


def test_it_installs_only_what_it_built():  # DL3013
    (install,) = re.findall(r"pip .*\binstall\b.*", " ".join(given(BUILD, "RUN")))
    assert "--no-index" in install
    assert install.endswith("/wheels/*.whl")


def test_it_holds_no_secret():
    names = " ".join([*given(EVERY, "ARG"), *given(EVERY, "ENV")])
    assert not re.search(r"PASSWORD|TOKEN|CREDS|SEED|KEY", names)


def test_it_stops_as_the_agent_expects():
    assert last("STOPSIGNAL") == "SIGTERM"


def test_it_has_the_labels_of_an_image():  # DL3048, DL3049
    labels = dict(re.findall(r'([\w.]+)="([^"]*)"', last("LABEL")))
    assert set(labels) == {
        f"{PREFIX}{name}" for name in ("title", "description", "licenses", "version", "revision")
    }
    assert all(labels.values())
    project = (ROOT / "pyproject.toml").read_text()
    assert f'name = "{labels[f"{PREFIX}title"]}"' in project
    assert f'license = "{labels[f"{PREFIX}licenses"]}"' in project


def health() -> list[str]:  # DL3057
    options, command = last("HEALTHCHECK").split(" CMD ")
    assert re.fullmatch(r"(--(interval|timeout|start-period)=\d+s ?)+", options)
    return json.loads(command)


def command() -> list[str]:
    return [*json.loads(last("ENTRYPOINT")), *json.loads(last("CMD"))]


@pytest.mark.parametrize("words", [command(), health()], ids=["its command", "its health check"])
def test_what_it_runs_exists(words):
    assert words[0] == "nats-insights"
    assert parser().parse_args(words[1:])


# --- Its steps.


@pytest.fixture(scope="module")
def image(tmp_path_factory) -> Path:
    """A directory that holds what the image would, after the steps of the first stage."""
    top = tmp_path_factory.mktemp("image")
    subprocess.run([sys.executable, "-m", "venv", top / "base"], check=True)
    context = top / "context"
    shutil.copytree(ROOT, context, ignore=ignored)
    (workdir,) = given(BUILD, "WORKDIR")
    (top / workdir[1:]).mkdir(parents=True)
    for keyword, rest in BUILD:
        if keyword == "COPY":
            copy(context, top / workdir[1:], rest)
        if keyword == "RUN":
            run(rest, top, workdir)
    return top


def ignored(directory: str, names: list[str]) -> set[str]:
    """What .dockerignore keeps out: all but what it names, at the top."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] != "#"]
    everywhere = [rule.removeprefix("**/") for rule in rules if rule.startswith("**/")]
    wanted = {rule[1:] for rule in rules if rule.startswith("!")}
    assert rules[0] == "*"
    out = {name for name in names if any(fnmatch(name, rule) for rule in everywhere)}
    return out | ({*names} - wanted if Path(directory) == ROOT else set())


def copy(context: Path, workdir: Path, rest: str) -> None:
    *sources, target = rest.split()
    for source in sources:
        if (context / source).is_dir():
            shutil.copytree(context / source, workdir / target)
        else:
            shutil.copy(context / source, workdir / target)


def run(step: str, top: Path, workdir: str) -> None:
    """Run a step as it stands, in the places of this image; pip may use its cache."""
    for place in PLACES:
        step = re.sub(rf"(?<![\w/]){place}\b", str(top / place[1:]), step)
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("PYTHON")
    } | {"PATH": f"{top / 'base' / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["/bin/sh", "-ec", step],
        cwd=top / workdir[1:],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def inside(image: Path, **variables: str) -> dict[str, str]:
    """The environment of the container, and nothing of ours."""
    (path,) = re.findall(r"^PATH=(\S+?):\$PATH$", last("ENV"))
    return {"PATH": str(image / path[1:]), "HOME": "/nonexistent"} | variables


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_image_holds_the_package_and_no_build_tools(image):
    (source,) = {rest.split()[1] for rest in given(FINAL, "COPY")}
    assert given(FINAL, "COPY") == [f"--from=build {source} {source}"]
    binaries = image / source[1:] / "bin"
    assert (binaries / "nats-insights").is_file()
    assert not list(binaries.glob("pip*"))
    said = subprocess.run(
        [binaries / "nats-insights", "--version"], env=inside(image), capture_output=True, text=True
    )
    assert re.fullmatch(r"nats-insights \d+\.\d+\.\d+\n", said.stdout)


@pytest.mark.live
@pytest.mark.long
@pytest.mark.timeout(300)
async def test_the_container_is_healthy_while_its_agent_answers_and_whatever_it_finds(image):
    with local.server() as system:
        user, password = system.user("agent")
        environment = inside(image, NATS_URL=system.urls[0], NATS_USER=user, NATS_PASSWORD=password)
        async with Crowd() as crowd:
            user, password = system.user("app")
            await crowd.join(system.urls[0], 105, user=user, password=password)
            await asyncio.to_thread(is_healthy_with_a_warning, environment)


def is_healthy_with_a_warning(environment: dict[str, str]) -> None:
    find = shutil.which("nats-insights", path=environment["PATH"])
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": environment}

    def code(*words: str) -> int:
        return subprocess.run([find, *words], **quiet).returncode

    assert code(*health()[1:]) != 0
    started = [find, *command()[1:], "--interval", "200ms"]
    with subprocess.Popen(started, **quiet) as agent:
        try:
            while code("status") != 1:
                assert agent.poll() is None
            assert code(*health()[1:]) == 0
            agent.terminate()
            assert agent.wait() == 0
        finally:
            agent.kill()
