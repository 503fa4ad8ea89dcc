"""Bad credentials and certificates are told in one sentence, before anything is sent."""

from __future__ import annotations

import base64
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nats_insights.connection import credentials
from nats_insights.connection.certificate import validity
from nats_insights.connection.contexts import Settings
from nats_insights.errors import ConnectError
from nats_insights.facts import Expiry
from nats_insights.lab.servers.jwts import Account, Operator, User

URL = "nats://127.0.0.1:4222"


@pytest.fixture(scope="module")
def account() -> Account:
    return Operator().account("A")


@pytest.fixture(scope="module")
def user(account: Account) -> User:
    return account.user("u")


def refusal(url: str = URL, **fields: Any) -> str:
    with pytest.raises(ConnectError) as caught:
        credentials.login(Settings(**fields), url)
    return str(caught.value)


def written(path: Path, text: str) -> str:
    path.write_bytes(text.encode())
    return str(path)


def with_a_typing_error(seed: str) -> str:
    return f"{seed[:20]}{'B' if seed[20] == 'A' else 'A'}{seed[21:]}"


def test_credentials_are_given_to_nats_py_in_its_own_words(user: User, tmp_path: Path) -> None:
    def options(url: str = URL, **fields: Any) -> dict[str, Any]:
        return credentials.login(Settings(**fields), url).options

    creds, nkey = (
        written(tmp_path / "u.creds", user.creds),
        written(tmp_path / "u.nk", user.key.seed),
    )
    assert options() == {}
    assert options(user="u", password="p") == {"user": "u", "password": "p"}
    assert options(token="t") == {"token": "t"}
    assert options(nkey=nkey) == {"nkeys_seed_str": user.key.seed}
    both = options(creds=creds, token="t")
    assert (user.jwt in both["user_credentials"], both["token"]) == (True, "t")
    assert options("nats://u%40x:p%3A@h:1", user="other") == {"user": "u@x", "password": "p:"}
    assert options("nats://t%40@h:1", user="other", password="p") == {"token": "t@"}
    assert options("nats://u:@h:1") == {"user": "u", "password": ""}


@pytest.mark.parametrize("mangle", [
    lambda text: text.replace("\n", "\r\n"),
    lambda text: "\ufeff" + text,
    lambda text: text.replace("\n", "\n\n"),
    lambda text: "".join(reversed(text.partition("\n\n"))),
    lambda text: text.rstrip("\n"),
])  # fmt: skip
def test_creds_are_read_however_they_were_saved(mangle: Any, user: User, tmp_path: Path) -> None:
    path = written(tmp_path / "u.creds", mangle(user.creds))
    options = credentials.login(Settings(creds=path), URL).options
    assert user.jwt in options["user_credentials"]
    assert user.key.seed in options["user_credentials"]


def test_creds_may_be_a_data_reference(user: User) -> None:
    reference = f"data:;base64,{base64.b64encode(user.creds.encode()).decode()}"
    assert user.jwt in credentials.login(Settings(creds=reference), URL).options["user_credentials"]


def test_bad_creds_are_told_with_their_file(account: Account, user: User, tmp_path: Path) -> None:
    path, other = tmp_path / "u.creds", account.user("other")
    jwt_block, seed_block = user.creds.split("\n\n")
    old = account.user("old", exp=1_700_000_000)
    later = account.user("later", exp=int(time.time()) + 3600)
    mistyped = with_a_typing_error(user.key.seed)
    bad = {
        "": "is empty",
        " \r\n": "is empty",
        "hello": "has no user JWT and no user seed",
        seed_block: "has no user JWT: generate it again",
        jwt_block: "has no user seed: generate it again",
        user.creds.replace(user.jwt, ""): "has no user JWT: generate it again",
        user.creds.replace(user.jwt, "a.b"): "is damaged",
        user.creds.replace(user.jwt, "a.e30.c"): "is damaged",
        user.creds.replace(user.jwt, account.jwt): "holds the JWT of an account, not of a user",
        user.creds.replace(user.jwt, other.jwt): "belongs to another user than the JWT",
        user.creds.replace(user.key.seed, mistyped): "is mistyped: its checksum is wrong",
        old.creds: "expired at 2023-11-14T22:13:20Z: generate it again",
    }
    for text, fragment in bad.items():
        told = refusal(creds=written(path, text))
        assert (fragment in told, str(path) in told) == (True, True), told
        assert not any(secret in told for secret in (user.key.seed, mistyped, old.key.seed))
    assert credentials.login(Settings(creds=written(path, later.creds)), URL).options


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    assert refusal(creds=absent) == f"creds file {absent} cannot be read: No such file or directory"
    assert refusal(nkey=str(tmp_path)) == f"nkey file {tmp_path} cannot be read: Is a directory"


def test_a_bad_nkey_is_told_with_its_file(account: Account, user: User, tmp_path: Path) -> None:
    path = tmp_path / "u.nk"
    mistyped = with_a_typing_error(user.key.seed)
    for text, fragment in {
        "": "holds no user seed",
        user.key.public: "holds no user seed",
        account.key.seed: "holds no user seed",
        mistyped: "its checksum is wrong",
    }.items():
        told = refusal(nkey=written(path, text))
        assert (fragment in told, str(path) in told) == (True, True), told
        assert not any(secret in told for secret in (mistyped, account.key.seed))


def test_an_nkey_may_stand_between_other_lines(user: User, tmp_path: Path) -> None:
    path = written(tmp_path / "u.nk", f"# agent\r\n{user.key.seed}\r\n{user.key.public}\r\n")
    assert credentials.login(Settings(nkey=path), URL).options["nkeys_seed_str"] == user.key.seed


def test_a_jwt_and_a_seed_in_settings_are_checked_as_well(account: Account, user: User) -> None:
    seed = user.key.seed
    assert credentials.login(Settings(user_jwt=user.jwt, user_seed=seed), URL).options
    bearer = account.user("b", bearer_token=True).jwt
    options = credentials.login(Settings(user_jwt=bearer), URL).options
    assert (options["user_jwt_cb"]().decode(), options["signature_cb"]("nonce")) == (bearer, b"")
    assert "needs its seed too (NATS_SEED)" in refusal(user_jwt=user.jwt)
    assert "in the settings is damaged" in refusal(user_jwt="x", user_seed=seed)
    assert "is not that of a user" in refusal(user_jwt=user.jwt, user_seed=seed[:-1])
    assert "is not that of a user" in refusal(user_jwt=user.jwt, user_seed=account.key.seed)
    assert "its checksum is wrong" in refusal(user_jwt=user.jwt, user_seed=f"SUZ{seed[3:]}")


def test_what_expires_is_read_from_the_files_of_the_login(
    account: Account, user: User, certificates: Path, tmp_path: Path
) -> None:
    def told(url: str = URL, **fields: Any) -> list[Expiry]:
        return credentials.expiries(Settings(**fields), url)

    end = int(time.time()) + 3600
    soon = account.user("soon", exp=end)
    path = written(tmp_path / "soon.creds", soon.creds)
    (mine,) = told(creds=path)
    assert mine.what == f"the user JWT in creds file {path}"
    assert (mine.ends, round(mine.ends - mine.begins, -2)) == (end, 3600)
    assert told(creds=path) == [mine]
    assert told("nats://u:p@h:1", creds=path) == []
    assert told("nats://token@h:1", creds=path) == [mine]
    assert [one.what for one in told(user_jwt=soon.jwt)] == ["the user JWT in the settings"]
    assert told(creds=written(tmp_path / "u.creds", user.creds)) == []  # For ever.
    assert told(nkey=written(tmp_path / "u.nk", user.key.seed)) == told(user="u") == told() == []
    pem = str(certificates / "client.pem")
    (certificate,) = told(cert=pem)
    assert certificate.what == f"the client certificate {pem}"
    assert certificate.ends - certificate.begins == 2 * 86_400
    assert abs(time.time() - certificate.begins) < 3600


def test_files_that_another_login_could_not_use_are_told(tmp_path: Path) -> None:
    def refused(**fields: str) -> str:
        with pytest.raises(ConnectError) as caught:
            credentials.expiries(Settings(**fields), URL)
        return str(caught.value)

    absent, empty = str(tmp_path / "absent"), written(tmp_path / "empty", "")
    assert refused(creds=absent) == f"creds file {absent} cannot be read: No such file or directory"
    assert refused(nkey=absent).startswith(f"nkey file {absent} cannot be read")
    assert refused(cert=absent).startswith(f"TLS file {absent} cannot be read")
    assert refused(creds=empty) == f"creds file {empty} is empty"
    assert refused(cert=empty) == f"TLS file {empty} has no certificate in PEM format"
    block = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"
    for body in ("MAA=", "MIIB", "????", ""):
        damaged = written(tmp_path / "damaged", block.format(body))
        assert refused(cert=damaged) == f"TLS file {damaged} has a damaged certificate"


@pytest.mark.parametrize(("days", "year"), [(10, 0), (20_000, 2081)])
def test_dates_are_read_as_two_and_as_four_digits(days: int, year: int, tmp_path: Path) -> None:
    pem, key = tmp_path / "pem", tmp_path / "key"
    made = f"openssl req -x509 -newkey rsa:2048 -nodes -days {days} -subj /CN=x"
    command = [*made.split(), "-keyout", str(key), "-out", str(pem)]
    subprocess.run(command, check=True, capture_output=True)
    begins, ends = validity(pem.read_text())
    assert ends - begins == days * 86_400
    assert year in (0, datetime.fromtimestamp(ends, UTC).year)


def test_tls_is_asked_for_by_a_url_a_file_or_tls_first(certificates: Path) -> None:
    def wanted(**fields: Any) -> bool:
        return credentials.tls(Settings(**fields)) is not None

    pem, key = str(certificates / "client.pem"), str(certificates / "client.key")
    assert wanted() is False
    assert wanted(servers=("nats://a:1", "tls://b:1")) is True
    assert wanted(ca=str(certificates / "ca.pem")) is True
    assert wanted(cert=pem, key=key) is True
    assert wanted(tls_first=True) is True


def test_bad_certificates_are_told_with_their_file(certificates: Path, tmp_path: Path) -> None:
    def refused(**fields: str) -> str:
        with pytest.raises(ConnectError) as caught:
            credentials.tls(Settings(**fields))
        return str(caught.value)

    pem = str(certificates / "client.pem")
    absent, empty = str(tmp_path / "absent"), written(tmp_path / "empty", "")
    assert refused(ca=absent) == f"TLS file {absent} cannot be read: No such file or directory"
    assert refused(cert=pem, key=absent).startswith(f"TLS file {absent} cannot be read")
    assert refused(ca=empty).startswith(f"{empty} cannot be used for TLS: ")
    assert refused(cert=pem, key=empty).startswith(f"{pem} and {empty} cannot be used for TLS: ")
    another = str(certificates / "ca.key")
    assert refused(cert=pem, key=another) == (
        f"{pem} and {another} cannot be used for TLS: the key is not that of the certificate"
    )
    assert "the key has a password" in refused(cert=pem, key=str(certificates / "locked.key"))
