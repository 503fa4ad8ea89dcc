"""A gzip stream can be joined from a fresh beginning and a rest that was packed before."""

from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nats_insights.lab.fleet import splice


@given(st.binary(max_size=300), st.binary(max_size=3000), st.integers(1, 60))
def test_any_two_parts_are_one_stream(beginning: bytes, rest: bytes, times: int) -> None:
    stream = splice.gzip(beginning, splice.pack(rest * times))
    reader = zlib.decompressobj(31)
    assert reader.decompress(stream) == beginning + rest * times
    # One member to its end: nothing is left for readers that stop at the first.
    assert (reader.eof, reader.unused_data) == (True, b"")


@given(st.binary(max_size=3000))
def test_a_beginning_alone_is_a_stream(beginning: bytes) -> None:
    assert gzip.decompress(splice.gzip(beginning)) == beginning


@given(st.binary(max_size=3000))
def test_what_was_packed_can_be_read(plain: bytes) -> None:
    assert splice.unpack(splice.pack(plain)) == plain


def test_a_stream_with_a_wrong_sum_is_refused() -> None:
    """That is, readers do look at the sum that is worked out here."""
    stream = bytearray(splice.gzip(b"head", splice.pack(b"rows" * 100)))
    stream[-5] ^= 1
    with pytest.raises(gzip.BadGzipFile, match="CRC"):
        gzip.decompress(bytes(stream))


def test_rows_become_much_smaller() -> None:
    plain = b'{"cid":7,"kind":"Client"},' * 1000
    assert len(splice.gzip(b"", splice.pack(plain))) < len(plain) / 20
