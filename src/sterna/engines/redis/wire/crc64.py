"""The CRC-64 that Redis puts behind RDB files and DUMP payloads.

Polynomial of Jones, 0xad93d23594c935a9, bits reflected, beginning with 0 and nothing xored at the end; the
check value of ``123456789`` is 0xe9c6d914c4b8d9ca (stated in Redis' own source, ``crc64.c``).
"""

from typing import Any

from crcmod import mkCrcFun

from sterna.engines.redis.wire.native import native

_portable = mkCrcFun(0x1AD93D23594C935A9, initCrc=0, rev=True, xorOut=0)


def portable_crc64(data: bytes | bytearray | memoryview, crc: int = 0) -> int:
    """As ``crc64``, without the module of our own."""
    return int(_portable(bytes(data) if isinstance(data, memoryview) else data, crc))


_chosen: Any = native.crc64 if native else portable_crc64


def crc64(data: bytes | bytearray | memoryview, crc: int = 0) -> int:
    """The checksum of ``data``, going on from ``crc``, that of what came before."""
    result: int = _chosen(data, crc)
    return result
