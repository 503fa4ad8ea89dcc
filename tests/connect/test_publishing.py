"""The settings of the second connection: its section, and what it shares with the first."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nats_insights.config import Publish
from nats_insights.connection.contexts import Settings, publishing
from nats_insights.errors import ConfigError

SECRET = "s3cr3t-do-not-show"
FIRST = Settings(
    servers=("nats://admin:pw@a:4222", "nats://b:4222"),
    user="admin",
    password="pw",
    ca="/first/ca.pem",
    cert="/first/cert.pem",
    key="/first/key.pem",
    tls_first=True,
)


def context(home: Path, name: str, **fields: object) -> None:
    folder = home / "nats" / "context"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(fields))


def test_an_empty_section_is_no_second_connection(tmp_path):
    (tmp_path / "nats").mkdir()
    (tmp_path / "nats" / "context.txt").write_text("ops")
    assert publishing(Publish(), FIRST, {"NATS_CREDS": "x"}, tmp_path) is None


def test_without_servers_it_has_those_of_the_first_and_their_tls_but_not_its_login(tmp_path):
    found = publishing(Publish(creds="/ops.creds"), FIRST, {}, tmp_path)
    assert found == Settings(
        servers=("nats://a:4222", "nats://b:4222"),
        creds="/ops.creds",
        ca="/first/ca.pem",
        cert="/first/cert.pem",
        key="/first/key.pem",
        tls_first=True,
    )


def test_its_own_certificate_goes_before_that_of_the_first(tmp_path):
    own = Publish(tlscert="/own/cert.pem", tlskey="/own/key.pem", tlsca="/own/ca.pem")
    found = publishing(own, FIRST, {}, tmp_path)
    assert (found.cert, found.key, found.ca) == ("/own/cert.pem", "/own/key.pem", "/own/ca.pem")


def test_its_own_servers_share_nothing_with_the_first(tmp_path):
    found = publishing(Publish(server=["c", "d:4333"]), FIRST, {}, tmp_path)
    assert found == Settings(servers=("nats://c:4222", "nats://d:4333"))


def test_a_context_says_all_and_the_section_overrides_it(tmp_path):
    context(tmp_path, "ops", url="nats://c:4222", user="ops", password=SECRET)
    found = publishing(Publish(context="ops", inbox_prefix="_INBOX.own"), FIRST, {}, tmp_path)
    own = Settings(
        servers=("nats://c:4222",), user="ops", password=SECRET, inbox_prefix="_INBOX.own"
    )
    assert found == own


def test_neither_variables_nor_the_selected_context_are_its_own(tmp_path):
    context(tmp_path, "selected", url="nats://c:4222", creds="/wrong.creds")
    (tmp_path / "nats" / "context.txt").write_text("selected")
    variables = {"NATS_URL": "nats://wrong:1", "NATS_CREDS": "/wrong.creds", "NATS_USER": "wrong"}
    found = publishing(Publish(nkey="/own.nk"), FIRST, variables, tmp_path)
    assert (found.servers, found.creds, found.user) == (("nats://a:4222", "nats://b:4222"), "", "")


def test_a_password_is_read_from_where_the_section_says(tmp_path):
    (tmp_path / "password").write_text(f"{SECRET}\n")
    by_file = Publish(user="ops", password=f"file://{tmp_path}/password")
    by_variable = Publish(user="ops", password="env://OPS_PASSWORD")
    for section in (by_file, by_variable):
        found = publishing(section, FIRST, {"OPS_PASSWORD": SECRET}, tmp_path)
        assert (found.user, found.password, found.token) == ("ops", SECRET, "")
        assert SECRET not in repr(found)


WRONG = {
    "a user without a password": (
        Publish(user="ops"),
        "publish.user needs publish.password, such as env://NAME",
    ),
    "a variable that is not there": (
        Publish(token="env://NOT_THERE"),
        "[publish]: token is env://NOT_THERE, and there is no such variable",
    ),
    "a certificate without its key": (
        Publish(tlscert="/c.pem"),
        "[publish]: a client certificate and its key go together: --tlscert and --tlskey",
    ),
    "no URL": (
        Publish(server=["http://c"]),
        "[publish]: a server URL begins with nats:// or tls://",
    ),
}


@pytest.mark.parametrize(("section", "sentence"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_refused_in_one_sentence(section, sentence, tmp_path):
    with pytest.raises(ConfigError) as refused:
        publishing(section, FIRST, {}, tmp_path)
    assert str(refused.value).startswith(sentence)
