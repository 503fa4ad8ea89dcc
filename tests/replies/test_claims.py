"""Of a JWT only the name is read, and nothing of the token can get anywhere else."""

from __future__ import annotations

import base64
import json

import pytest

from nats_insights.lab.servers.jwts import Operator
from nats_insights.replies.claims import (
    LONGEST_NAME,
    LONGEST_TOKEN,
    Activation,
    Claimed,
    Length,
    is_key,
)
from nats_insights.replies.connz import ROW_FIELDS, Row, rows_of
from nats_insights.replies.fields import Malformed

KEY = "U" + 55 * "A"
OTHER = "U" + 55 * "B"


def encoded(said: object) -> str:
    text = said if isinstance(said, bytes) else json.dumps(said).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def token(**claims: object) -> str:
    return f"{encoded({'typ': 'JWT'})}.{encoded({'sub': KEY, **claims})}.{encoded(b'signature')}"


def test_the_name_of_a_real_token_is_read():
    user = Operator().account("APP").user("app ü")
    assert Claimed.read(user.jwt).name_of(user.key.public) == "app ü"


def test_the_token_of_another_key_names_nobody():
    said = Claimed.read(token(name="app"))
    assert (said.name_of(KEY), said.name_of(OTHER), said.name_of("")) == ("app", "", "")


BAD = b'{"sub":"%s","name":"\xff"}' % KEY.encode()
MALFORMED = {
    "no text": 5,
    "nothing": "",
    "a password": "secret",
    "two dots and no base64": "a.b!.c",
    "not ASCII": "ä.ö.ü",
    "base64 of no JSON": f"a.{encoded(b'secret')}.c",
    "JSON that is no object": f"a.{encoded([KEY, 'app'])}.c",
    "a name that is no text": token(name=["app"]),
    "a key that is no text": f"a.{encoded({'sub': 5, 'name': 'app'})}.c",
    "bad UTF-8": f"a.{encoded(BAD)}.c",
    "four parts": token(name="app") + ".x",
    "very long": token(name="app", more=LONGEST_TOKEN * "x"),
    "deeply nested": f"a.{encoded(5000 * b'[')}.c",
}


@pytest.mark.parametrize("said", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_token_names_nobody(said):
    assert Claimed.read(said).name_of(KEY) == ""


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\x1b[31m\r\nb", "a\\x1b[31m\\r\\nb"),
        ("\u202eppa", "\\u202eppa"),
        (1000 * "n", (LONGEST_NAME - 1) * "n" + "…"),
    ],
)
def test_a_name_is_printable_and_of_bounded_length(name, shown):
    assert Claimed.read(token(name=name)).name_of(KEY) == shown


def reply(**row: object) -> bytes:
    server = {"name": "n1", "id": "N1", "ver": "2.15.1"}
    return json.dumps({"server": server, "data": {"connections": [row]}}).encode()


def test_no_object_has_the_token():
    secret = token(name="app", password="secret")
    info, data = rows_of(reply(authorized_user=KEY, account="A", jwt=secret))
    (row,) = data.connections
    assert (info.name, row.user_name) == ("n1", "app")
    everything = (
        repr(row) + repr(row.claimed) + repr([getattr(row, f) for f in Row.__struct_fields__])
    )
    assert not any(part in everything for part in secret.split("."))
    assert vars(Claimed)["__slots__"] == ("key", "name", "subscriptions")


@pytest.mark.parametrize("said", [5, None, [], {"a": 1}, "secret", 1.5, True])
def test_a_row_with_a_malformed_token_is_a_row(said):
    (row,) = rows_of(reply(authorized_user=KEY, jwt=said))[1].connections
    assert (row.authorized_user, row.user_name) == (KEY, "")


def test_a_row_without_a_token_names_nobody():
    (row,) = rows_of(reply(authorized_user=KEY))[1].connections
    assert row.user_name == ""


def test_the_error_of_a_malformed_reply_does_not_have_the_token():
    secret = token(name="app")
    with pytest.raises(Malformed) as refused:
        rows_of(reply(authorized_user=5, jwt=secret))
    assert secret.split(".")[1] not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("name", ["app", "", KEY.lower(), KEY + "A", KEY[:-1], "N" + KEY[1:]])
def test_other_names_are_no_keys(name):
    assert not is_key(name)


def test_keys_of_accounts_and_users_are_keys():
    account = Operator().account("APP")
    assert is_key(account.id)
    assert is_key(account.user("app").key.public)


def test_a_page_of_a_sweep_cannot_read_tokens():
    assert {"authorized_user", "account"} <= set(ROW_FIELDS)
    assert not {"jwt", "claimed"} & set(ROW_FIELDS)


# --- Of other tokens other facts are kept.


@pytest.mark.parametrize("said", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_token_of_an_import_does_not_expire(said):
    assert Activation.read(said).expires == 0


@pytest.mark.parametrize(
    ("said", "given", "expires"),
    [
        (token(exp=5), True, 5),
        (token(), True, 0),
        (token(exp=-5), True, 0),
        ("https://example.com/token", True, 0),
        ("", False, 0),
    ],
)
def test_of_the_token_of_an_import_its_end_is_kept(said, given, expires):
    read = Activation.read(said)
    assert (read.given, read.expires) == (given, expires)
    assert not any(part in repr(vars_of(read)) for part in said.split(".") if part)


@pytest.mark.parametrize(("said", "length"), [("a.b.c", 5), ("", 0), (5, 0), (None, 0)])
def test_of_the_token_of_an_account_its_length_is_kept(said, length):
    assert vars_of(Length.read(said)) == {"characters": length}


def vars_of(kept: Activation | Length) -> dict[str, object]:
    return {name: getattr(kept, name) for name in kept.__slots__}
