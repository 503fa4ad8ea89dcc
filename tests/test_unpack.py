"""Unpacking: a reply is whole and within its bound, or it is missing."""

from __future__ import annotations

import gzip
import sys
import zlib
from importlib import util
from types import ModuleType

import pytest

from nats_insights.replies import unpack as with_isal
from nats_insights.replies.fields import Malformed

GZIP = {"Content-Encoding": "gzip"}
PLAIN = 1000 * b'{"cid":1},'


def without_isal() -> ModuleType:
    """The module as it is where isal cannot be installed."""
    assert with_isal.__spec__ is not None
    spec = util.spec_from_file_location(with_isal.__name__, with_isal.__spec__.origin)
    assert spec is not None
    assert spec.loader is not None
    module = util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "isal.isal_zlib", None)
        spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["isal", "zlib"])
def module(request: pytest.FixtureRequest) -> ModuleType:
    """`nats_insights.unpack`, once with each library."""
    return with_isal if request.param == "isal" else without_isal()


def test_both_libraries_are_tried():
    pytest.importorskip("isal")
    assert with_isal.decompressobj.__module__ != zlib.decompressobj.__module__
    assert without_isal().decompressobj is zlib.decompressobj


@pytest.mark.parametrize("headers", [None, {}, {"Content-Encoding": "identity"}], ids=str)
def test_a_plain_reply_stays(module, headers):
    assert module.unpack(PLAIN, headers) == PLAIN


@pytest.mark.parametrize("plain", [b"", b"{}", PLAIN], ids=len)
def test_a_compressed_reply_is_unpacked(module, plain):
    assert module.unpack(gzip.compress(plain), GZIP) == plain


PACKED = gzip.compress(PLAIN)
BROKEN = {
    "nothing": b"",
    "no gzip": b"plain all along",
    "half of it": PACKED[: len(PACKED) // 2],
    "its last byte is lost": PACKED[:-1],
    "its head is lost": PACKED[8:],
    "a byte that changed": PACKED[:20] + bytes([PACKED[20] ^ 255]) + PACKED[21:],
    "a sum that is wrong": PACKED[:-8] + bytes(4) + PACKED[-4:],
    "deflated without a head": zlib.compress(PLAIN),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_broken_reply_is_missing(module, broken):
    with pytest.raises(Malformed) as malformed:
        module.unpack(broken, GZIP)
    assert "plain" not in str(malformed.value)


def test_a_reply_as_long_as_the_bound_is_unpacked(module, monkeypatch):
    monkeypatch.setattr(module, "LONGEST", len(PLAIN))
    assert module.unpack(PACKED, GZIP) == PLAIN


def test_a_longer_reply_is_missing_and_is_never_unpacked_whole(module, monkeypatch):
    monkeypatch.setattr(module, "LONGEST", 65_536)
    bomb = gzip.compress(bytes(10_000_000), 1)
    with pytest.raises(Malformed):
        module.unpack(bomb, GZIP)
