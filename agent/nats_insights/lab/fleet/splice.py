"""Joins a fresh beginning and a stored, compressed rest into one gzip stream."""

from __future__ import annotations

import struct
import zlib
from types import ModuleType

from msgspec import Struct

fast: ModuleType
try:
    from isal import isal_zlib as fast
except ImportError:  # No wheel for this machine: zlib does the same, more slowly.
    fast = zlib

_LEVEL = 1
_RAW = -15
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"
# CRC-32 as gzip has it is arithmetic with polynomials over GF(2), whose highest bit is x**0.
_POLYNOMIAL = 0xEDB88320
_ONE = 1 << 31


class Packed(Struct, frozen=True, gc=False):
    """Compressed bytes that can be joined to others: a raw deflate stream to its very end."""

    deflated: bytes
    crc: int
    length: int
    shift: int


def pack(plain: bytes) -> Packed:
    """Compresses bytes once, for any number of streams to come."""
    deflater = fast.compressobj(_LEVEL, fast.DEFLATED, _RAW)
    deflated = deflater.compress(plain) + deflater.flush()
    return Packed(deflated, fast.crc32(plain), len(plain), _power_of_x(8 * len(plain)))


def unpack(packed: Packed) -> bytes:
    """The bytes that were packed."""
    return bytes(fast.decompress(packed.deflated, _RAW, packed.length))


def gzip(beginning: bytes, rest: Packed | None = None) -> bytes:
    """One gzip stream of one member, which holds `beginning` and all of `rest`."""
    deflater = fast.compressobj(_LEVEL, fast.DEFLATED, _RAW)
    deflated = deflater.compress(beginning)
    crc, length = fast.crc32(beginning), len(beginning)
    if rest is None:
        deflated += deflater.flush()
    else:
        # A flushed stream ends on a byte; what follows refers to nothing before itself.
        deflated += deflater.flush(fast.Z_SYNC_FLUSH) + rest.deflated
        crc, length = _multiply(rest.shift, crc) ^ rest.crc, length + rest.length
    return b"".join((_HEADER, deflated, struct.pack("<II", crc, length & 0xFFFFFFFF)))


def _multiply(a: int, b: int) -> int:
    product = 0
    while a:
        if a & _ONE:
            product ^= b
        a = a << 1 & 0xFFFFFFFF
        b = b >> 1 ^ (_POLYNOMIAL if b & 1 else 0)
    return product


def _power_of_x(exponent: int) -> int:
    """x**exponent: to multiply a CRC by it is to append that many zero bits."""
    power = _ONE
    for square in _SQUARES:
        if exponent & 1:
            power = _multiply(power, square)
        exponent >>= 1
    return power


def _squares() -> list[int]:
    squares = [_ONE >> 1]
    while len(squares) < 40:
        squares.append(_multiply(squares[-1], squares[-1]))
    return squares


_SQUARES = _squares()
