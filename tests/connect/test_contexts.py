"""Settings from flags, variables and contexts, as the `nats` CLI finds them."""

from __future__ import annotations

import argparse
import base64
import json
from pathlib import Path
from typing import Any

import pytest

from nats_insights.connection import contexts
from nats_insights.connection.contexts import Settings, settings
from nats_insights.errors import ConfigError

SECRET = "s3cr3t-do-not-show"
FIELDS = {
    "servers": ("server", "NATS_URL", "url"),
    "user": ("user", "NATS_USER", "user"),
    "password": ("password", "NATS_PASSWORD", "password"),
    "token": ("token", "NATS_TOKEN", "token"),
    "creds": ("creds", "NATS_CREDS", "creds"),
    "nkey": ("nkey", "NATS_NKEY", "nkey"),
    "user_jwt": (None, "NATS_JWT", "user_jwt"),
    "user_seed": (None, "NATS_SEED", "user_seed"),
    "cert": ("tlscert", "NATS_CERT", "cert"),
    "key": ("tlskey", "NATS_KEY", "key"),
    "ca": ("tlsca", "NATS_CA", "ca"),
    "inbox_prefix": ("inbox_prefix", None, "inbox_prefix"),
    "js_domain": ("js_domain", None, "jetstream_domain"),
    "js_api_prefix": ("js_api_prefix", None, "jetstream_api_prefix"),
}
BESIDE = {
    "user": "password",
    "password": "user",
    "cert": "key",
    "key": "cert",
    "user_seed": "user_jwt",
}


class Home:
    """A configuration directory with contexts in it, and the settings that it leads to."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / "nats" / "context").mkdir(parents=True)

    def context(self, name: str, **fields: Any) -> Path:
        path = self.directory / "nats" / "context" / f"{name}.json"
        path.write_text(json.dumps(fields))
        return path

    def select(self, name: str) -> None:
        (self.directory / "nats" / "context.txt").write_text(f"{name}\n")

    def settings(self, flags: dict[str, str | None] | None = None, **environ: str) -> Settings:
        return settings(flags or {}, environ, self.directory)

    def refusal(self, flags: dict[str, str | None] | None = None, **environ: str) -> str:
        with pytest.raises(ConfigError) as caught:
            self.settings(flags, **environ)
        return str(caught.value)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_without_anything_the_server_on_this_machine_is_meant(home: Home) -> None:
    assert home.settings() == Settings(servers=("nats://127.0.0.1:4222",), is_default=True)


def test_the_server_on_this_machine_may_also_be_given(home: Home) -> None:
    assert not home.settings(NATS_URL="nats://127.0.0.1:4222").is_default
    home.context("c", url="nats://127.0.0.1:4222")
    assert not home.settings(NATS_CONTEXT="c").is_default


@pytest.mark.parametrize("field", FIELDS)
def test_a_flag_wins_over_a_variable_and_a_variable_over_the_context(
    field: str, home: Home
) -> None:
    flag, variable, key = FIELDS[field]
    value = "nats://{}:1" if field == "servers" else "{}"
    beside = BESIDE.get(field, field)
    flags, environ = {}, {}
    home.context("c", **{FIELDS[beside][2]: "beside", key: value.format("context")})
    chosen = {"context": "c"}
    seen = [home.settings(chosen)]
    if variable:
        environ = {FIELDS[beside][1] or "-": "beside", variable: value.format("variable")}
        seen.append(home.settings(chosen, **environ))
    if flag:
        flags = {FIELDS[beside][0] or "-": "beside", flag: value.format("flag")}
        seen.append(home.settings({**chosen, **flags}, **environ))
    expected = ["context"] + ["variable"] * bool(variable) + ["flag"] * bool(flag)
    found = [getattr(one, field) for one in seen]
    if field == "servers":
        found = [urls[0] for urls in found]
    assert found == [value.format(place) for place in expected]


def test_an_empty_flag_or_variable_is_none_at_all(home: Home) -> None:
    home.context("c", creds="/c.creds")
    found = home.settings({"creds": "", "context": None}, NATS_CREDS="", NATS_CONTEXT="c")
    assert found.creds == "/c.creds"


def test_an_empty_name_of_a_context_is_refused(home: Home) -> None:
    with pytest.raises(ConfigError, match="--context is empty: name a context, or leave it out"):
        home.settings({"context": ""}, NATS_CONTEXT="c")


def test_a_context_is_named_by_flag_over_variable_over_the_selected_one(home: Home) -> None:
    for name in ("flagged", "named", "selected"):
        home.context(name, url=f"nats://{name}:4222")
    home.select("selected")
    assert home.settings().servers == ("nats://selected:4222",)
    assert home.settings(NATS_CONTEXT="named").servers == ("nats://named:4222",)
    flags: dict[str, str | None] = {"context": "flagged"}
    assert home.settings(flags, NATS_CONTEXT="named").servers == ("nats://flagged:4222",)


def test_contexts_lie_below_xdg_config_home_or_below_home(home: Home, tmp_path: Path) -> None:
    home.context("c", url="nats://xdg:4222")
    found = settings({"context": "c"}, {"XDG_CONFIG_HOME": str(tmp_path)})
    assert found.servers == ("nats://xdg:4222",)
    (tmp_path / "user").mkdir()
    (tmp_path / "user" / ".config").symlink_to(tmp_path)
    found = settings({"context": "c"}, {"HOME": str(tmp_path / "user")})
    assert found.servers == ("nats://xdg:4222",)


def test_a_path_that_ends_in_json_is_a_context_too(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text('{"url": "nats://mine:4222", "description": "", "color_scheme": null}')
    assert home.settings({"context": str(path)}).servers == ("nats://mine:4222",)


def test_an_absent_context_is_told_with_the_nearest_and_all_there_are(home: Home) -> None:
    home.context("production")
    home.context("staging")
    assert home.refusal({"context": "prodution"}) == (
        f"there is no context 'prodution' in {home.directory}/nats/context:"
        " did you mean 'production'? there are production, staging"
    )
    assert home.refusal({"context": "x"}).endswith("/context: there are production, staging")


@pytest.mark.parametrize("name", ["../c", "sub/c", "/etc/passwd", "..", "c\x00"])
def test_a_context_name_cannot_leave_its_directory(name: str, home: Home) -> None:
    home.context("c")
    assert home.refusal({"context": name}).startswith("there is no context ")


def test_a_selected_context_that_is_gone_is_told(home: Home) -> None:
    home.select("gone")
    contexts = home.directory / "nats" / "context"
    assert home.refusal() == f"there is no context 'gone' in {contexts}: there are none"


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (f'{{"password": "{SECRET}"', "is not a JSON object: "),
        (f'["{SECRET}"]', "is not a JSON object: "),
        ('{"password": 5}', "must be a string"),
        (b"\xff\xfe", "is not a JSON object: "),
        (b'{"url": "\xff"}', "is not UTF-8 text"),
        (b'{"\xff": ""}', "is not UTF-8 text"),
        (None, "cannot be read: "),
    ],
)
def test_a_bad_context_file_is_told_with_its_path(
    content: str | bytes | None, fragment: str, home: Home
) -> None:
    path = home.context("bad")
    path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    told = home.refusal({"context": "bad"})
    assert str(path) in told
    assert fragment in told
    assert SECRET not in told


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a", ("nats://a:4222",)),
        ("a:1,b:2", ("nats://a:1", "nats://b:2")),
        (" nats://a , tls://b:4443, ", ("nats://a:4222", "tls://b:4443")),
        ("NATS://Host/", ("nats://host:4222",)),
        ("nats://[::1]:4222,[fe80::1]", ("nats://[::1]:4222", "nats://[fe80::1]:4222")),
        ("u:p%40q@a", ("nats://u:p%40q@a:4222",)),
    ],
)
def test_urls_may_lack_schemes_and_ports(given: str, expected: tuple[str, ...], home: Home) -> None:
    assert home.settings({"server": given}).servers == expected


@pytest.mark.parametrize(
    ("given", "fragment"),
    [
        ("nats://a:port", "not a server URL: nats://a:port"),
        ("nats://a:99999", "not a server URL: nats://a:99999"),
        ("nats://", "not a server URL: nats://"),
        ("http://a:8222", "begins with nats:// or tls://, not http://"),
        ("ws://a", "begins with nats:// or tls://, not ws://"),
        (",", "no server URL is given"),
        ("nats://a\x1b[31mb", "not a server URL: nats://a\\x1b[31mb"),
        ("nats://a\u202eb", "not a server URL: nats://a\\u202eb"),
        ("nats://a\tb", "not a server URL: nats://a\\tb"),
        ("nats://a b", "not a server URL: nats://a b"),
        (f"nats://u:{SECRET}\x1b@a", "write its special characters as %XX"),
        (f"nats://u:{SECRET}/x@a", "write its special characters as %XX"),
        (f"nats://u:12/{SECRET}@a", "write its special characters as %XX"),
        (f"nats://u:p,{SECRET}:x@a", "write its special characters as %XX"),
    ],
)
def test_a_url_that_is_none_is_refused_without_showing_a_login(
    given: str, fragment: str, home: Home
) -> None:
    told = home.refusal({"server": given})
    assert fragment in told
    assert SECRET not in told


@pytest.mark.parametrize("place", ["flags", "variables"])
def test_a_user_without_a_password_is_a_token(place: str, home: Home) -> None:
    home.context("c", user="someone", password="of the context")
    flags: dict[str, str | None] = {"context": "c"}
    if place == "flags":
        found = home.settings({**flags, "user": "T"})
    else:
        found = home.settings(flags, NATS_USER="T")
    assert (found.token, found.user, found.password) == ("T", "", "")


def test_a_user_in_a_context_needs_no_password(home: Home) -> None:
    home.context("c", user="mapped")
    found = home.settings({"context": "c"})
    assert (found.user, found.password, found.token) == ("mapped", "", "")


def test_user_and_password_may_come_from_flag_and_variable(home: Home) -> None:
    found = home.settings({"user": "u"}, NATS_PASSWORD="p")
    assert (found.user, found.password) == ("u", "p")


LOGINS: list[tuple[dict[str, str], dict[str, str], dict[str, str], set[str]]] = [
    # flags, variables, context, and the fields that are left
    ({"creds": "f"}, {"NATS_USER": "v", "NATS_PASSWORD": "v"}, {"nkey": "c"}, {"creds"}),
    ({}, {"NATS_NKEY": "v"}, {"user": "c", "password": "c"}, {"nkey"}),
    ({"token": "f"}, {}, {"creds": "c"}, {"token"}),
    ({"creds": "f"}, {"NATS_TOKEN": "v"}, {}, {"creds", "token"}),
    ({}, {}, {"user": "c", "password": "c", "creds": "c"}, {"user", "password"}),
    ({}, {}, {"creds": "c", "nkey": "c", "user_jwt": "c", "user_seed": "c"}, {"creds"}),
    ({}, {"NATS_JWT": "v"}, {"user_seed": "c"}, {"user_jwt", "user_seed"}),
    ({"server": "u:p@h"}, {}, {"creds": "c"}, set()),
]


@pytest.mark.parametrize(("flags", "environ", "context", "left"), LOGINS)
def test_the_strongest_place_decides_on_the_kind_of_credentials(
    flags: dict[str, str],
    environ: dict[str, str],
    context: dict[str, str],
    left: set[str],
    home: Home,
) -> None:
    home.context("c", **context)
    found = home.settings({**flags, "context": "c"}, **environ)
    kinds = ("user", "password", "creds", "nkey", "user_jwt", "user_seed", "token")
    assert {kind for kind in kinds if getattr(found, kind)} == left


def test_a_login_in_a_url_gives_way_to_stronger_credentials(home: Home) -> None:
    home.context("c", url="nats://u:p@a:1,b:2")
    assert home.settings({"context": "c"}).servers == ("nats://u:p@a:1", "nats://b:2")
    assert home.settings({"context": "c", "creds": "f"}).servers == ("nats://a:1", "nats://b:2")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("~/a.creds", "/home/n/a.creds"),
        ("$DIR/a.creds", "/run/a.creds"),
        ("${DIR}/$ABSENT.creds", "/run/.creds"),
        ("file://~/a.creds", "/home/n/a.creds"),
        ("~other/a.creds", "~other/a.creds"),
        ("C:/a.creds", "C:/a.creds"),
    ],
)
def test_paths_are_expanded(given: str, expected: str, home: Home) -> None:
    found = home.settings({"creds": given}, HOME="/home/n", DIR="/run")
    assert found.creds == expected


@pytest.mark.parametrize("password", ["~/$HOME", "file", "env:X", "op:x", "a,b:c@d/e", "database"])
def test_secrets_are_taken_as_they_are(password: str, home: Home) -> None:
    found = home.settings({"user": "u", "password": password}, HOME="/home/n", X="x")
    assert found.password == password


def test_references_lead_to_the_secret(home: Home, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{SECRET}\r\n")
    data = f"data:text/plain;base64,{base64.b64encode(SECRET.encode()).decode()}"
    for reference in (f"file://{tmp_path}/password", "env://PW", data):
        found = home.settings({"user": "u", "password": reference}, PW=SECRET)
        assert found.password == SECRET
    for reference in ("env://PW", data):
        assert contexts.decoded(home.settings({"creds": reference}, PW=SECRET).creds) == SECRET


@pytest.mark.parametrize(
    ("field", "reference", "fragment"),
    [
        ("creds", "op://vault/item", "creds is an op:// reference"),
        ("creds", "nsc://o/a/u", "creds is an nsc:// reference"),
        ("token", "op://vault/item", "token is an op:// reference"),
        ("token", "env://ABSENT", "there is no such variable"),
        ("token", "file:///absent", "token cannot be read from /absent: No such file"),
        ("creds", "data:text/plain,x", "is not base64 text"),
        ("token", f"data:{SECRET}", "is not base64 text"),
        ("creds", "data:;base64,%%%", "is not base64 text"),
        ("tlsca", "env://CA", "ca must be a file"),
    ],
)
def test_a_reference_that_cannot_be_followed_is_told(
    field: str, reference: str, fragment: str, home: Home
) -> None:
    told = home.refusal({field: reference})
    assert (fragment in told, SECRET in told) == (True, False)


def test_a_context_that_points_to_nsc_is_refused_only_where_it_is_used(home: Home) -> None:
    home.context("c", nsc="o/a/u")
    assert "nsc:// reference" in home.refusal({"context": "c"})
    assert home.settings({"context": "c", "creds": "mine"}).creds == "mine"


def test_what_the_agent_cannot_do_is_refused(home: Home) -> None:
    home.context("proxy", socks_proxy="socks5://p")
    home.context("store", windows_cert_store="user")
    assert "SOCKS proxy" in home.refusal({"context": "proxy"})
    assert "SOCKS proxy" in home.refusal(NATS_SOCKS_PROXY="socks5://p")
    assert "Windows certificate store" in home.refusal({"context": "store"})
    assert "--tlscert and --tlskey" in home.refusal({"tlscert": "c.pem"})
    assert "--tlscert and --tlskey" in home.refusal({"tlskey": "c.key"})


@pytest.mark.parametrize("prefix", ["_INBOX.>", "a b", "a..b", "a.", ".a", "*"])
@pytest.mark.parametrize("field", ["inbox_prefix", "sys_req_prefix", "js_api_prefix"])
def test_a_prefix_is_a_subject(field: str, prefix: str, home: Home) -> None:
    assert f"which {prefix!r} is not" in home.refusal({field: prefix})


def test_requests_to_jetstream_go_to_a_domain_or_bear_a_prefix(home: Home) -> None:
    home.context("leaf", jetstream_domain="hub")
    home.context("far", jetstream_api_prefix="JS.far.API")
    assert [
        home.settings(flags).js_api
        for flags in (
            {},
            {"context": "leaf"},
            {"context": "far"},
            {"context": "leaf", "js_domain": "other"},
            {"context": "leaf", "js_api_prefix": "JS.x.API"},
            {"context": "far", "js_domain": "hub"},
        )
    ] == [
        *("$JS.API", "$JS.hub.API", "JS.far.API"),
        *("$JS.other.API", "JS.x.API", "$JS.hub.API"),
    ]


@pytest.mark.parametrize("domain", ["a.b", "a b", ">", "*"])
def test_a_domain_is_one_name(domain: str, home: Home) -> None:
    assert home.refusal({"js_domain": domain}) == (
        f"a JetStream domain is a name without dots, which {domain!r} is not"
    )


def test_a_domain_and_a_prefix_in_one_place_exclude_each_other(home: Home) -> None:
    home.context("both", jetstream_domain="hub", jetstream_api_prefix="JS.far.API")
    for flags in ({"context": "both"}, {"js_domain": "hub", "js_api_prefix": "JS.far.API"}):
        assert home.refusal(flags) == (
            "a JetStream domain and an API prefix exclude each other: give one"
        )


def test_tls_first_comes_from_a_flag_or_a_context(home: Home) -> None:
    home.context("c", tls_first=True)
    assert [home.settings(f).tls_first for f in ({}, {"context": "c"}, {"tlsfirst": "yes"})] == [
        False,
        True,
        True,
    ]


def test_no_secret_is_in_a_repr() -> None:
    found = Settings(
        servers=(f"nats://u:{SECRET}@a:1",),
        user="agent",
        password=SECRET,
        token=SECRET,
        creds=f"data:;base64,{SECRET}",
        user_jwt=SECRET,
        user_seed=SECRET,
    )
    assert SECRET not in repr(found) + str(found) + str(found.__rich_repr__())
    assert "servers=('nats://a:1',), user='agent', password='***'" in repr(found)


def test_every_flag_is_parsed_and_reaches_the_settings(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("NATS_CONTEXT", *(names[1] for names in FIELDS.values() if names[1])):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home.directory))
    parser = argparse.ArgumentParser()
    contexts.add_options(parser)
    line = "-s h:1 --creds c --tlscert p --tlskey k --tlsca a --tlsfirst --inbox-prefix i.n "
    line += "--sys-req-prefix mon.req --js-domain hub"
    assert contexts.from_args(parser.parse_args(line.split())) == Settings(
        servers=("nats://h:1",), creds="c", cert="p", key="k", ca="a", tls_first=True,
        inbox_prefix="i.n", sys_req_prefix="mon.req", js_domain="hub",
    )  # fmt: skip
    for line in ("--user u --password p", "--nkey n", "--token t"):
        flag, value = line.split()[:2]
        assert getattr(contexts.from_args(parser.parse_args(line.split())), flag[2:]) == value
    with pytest.raises(ConfigError, match="'other'"):
        contexts.from_args(parser.parse_args(["--context", "other"]))


def test_help_sums_the_flags_up_and_lists_them_once_with_variables_and_defaults() -> None:
    brief, whole = argparse.ArgumentParser(), argparse.ArgumentParser()
    contexts.add_options(brief)
    contexts.add_options(whole, listed=True)
    assert "`nats-insights help connection` lists them" in brief.format_help()
    listed = [
        word for word in ("NATS_CREDS", "--tlsca", "127.0.0.1") if word in brief.format_help()
    ]
    assert listed == []
    text = " ".join(whole.format_help().split())
    for words in ("--creds FILE", "(NATS_CREDS)", "(NATS_URL; default: nats://127.0.0.1:4222)"):
        assert words in text


def test_every_flag_and_variable_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "connecting.md").read_text()
    parser = argparse.ArgumentParser(add_help=False)
    contexts.add_options(parser)
    flags = [flag for action in parser._actions for flag in action.option_strings]
    variables = [names[1] for names in FIELDS.values() if names[1]]
    absent = [name for name in (*flags, *variables, "NATS_CONTEXT") if f"`{name}`" not in page]
    assert absent == []
