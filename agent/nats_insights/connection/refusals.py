"""Why a log-in failed, as one sentence that says what to do."""

from __future__ import annotations

import os
import socket
import ssl

import nats.errors

from nats_insights.connection.client import Client, spoken
from nats_insights.errors import ConnectError

# OpenSSL's codes for what can be wrong with a certificate, and what to do.
_EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 10, 62, 64
_CURES = {
    _EXPIRED: "renew it",
    _OTHER_NAME: "use a URL with a name that it contains",
    _OTHER_ADDRESS: "use a URL with an address that it contains",
}


class Unreachable(ConnectError):
    """A server that did not accept the connection this time; a retry may succeed."""


def explain(error: Exception, client: Client, refusal: str, seconds: float) -> ConnectError:
    """The failure of one log-in, by how far it got.

    refusal: the sentence for a server that refuses our credentials. seconds: the time limit.
    """
    url, heard = client.url, client.heard
    if isinstance(error, nats.errors.SecureConnWantedError):
        return ConnectError(f"{url} offers no TLS: enable it there, or give no TLS settings here")
    if isinstance(error, ssl.SSLCertVerificationError):
        cure = _CURES.get(error.verify_code, "give its authority with --tlsca")
        return ConnectError(
            f"the certificate of {url} is not valid ({error.verify_message}): {cure}"
        )
    if heard is not None and heard.startswith(b"-ERR"):
        return _of_the_server(spoken(heard), url, refusal)
    if isinstance(error, TimeoutError) and heard:
        return Unreachable(f"{url} did not finish the log-in within {seconds:g} s")
    if client.verifies and (isinstance(error, OSError) or not heard):
        return ConnectError(
            f"{url} requires a client certificate that it trusts: --tlscert and --tlskey"
        )
    if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
        return ConnectError(f"{url} does not begin with TLS: leave out --tlsfirst")
    if isinstance(error, ssl.SSLError):
        return ConnectError(f"TLS with {url} failed: {error.reason or error}")
    if heard is None:
        return _of_silence(error, client, seconds)
    if heard == b"":
        return Unreachable(f"{url} closed the connection during the log-in")
    if isinstance(error, OSError):
        return Unreachable(f"the connection to {url} broke during the log-in: {_reason(error)}")
    return ConnectError(f"{url} does not speak NATS: is it the port for clients?")


def _of_silence(error: Exception, client: Client, seconds: float) -> ConnectError:
    url = client.url
    if isinstance(error, TimeoutError) and client.reached:
        doubt = "it may hang, not speak NATS, or need --tlsfirst"
        return Unreachable(
            f"{url} accepts connections but sends nothing within {seconds:g} s: {doubt}"
        )
    if isinstance(error, TimeoutError):
        return Unreachable(f"{url} does not answer within {seconds:g} s: check host and firewall")
    if isinstance(error, socket.gaierror | UnicodeError):
        return Unreachable(f"the host in {url} cannot be resolved: {error}")
    if isinstance(error, OSError):
        return Unreachable(f"{url} cannot be reached: {_reason(error)}")
    return ConnectError(f"{url} does not speak NATS: is it the port for clients?")


def _of_the_server(said: str, url: str, refusal: str) -> ConnectError:
    if said.lower().startswith(("authorization", "authentication")):
        return ConnectError(f"{url} {refusal}")
    if "exceeded" in said or "shutdown" in said.lower():
        return Unreachable(f"{url} accepts no connection now: {said}")
    return ConnectError(f"{url} refused the connection: {said}")


def _reason(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
