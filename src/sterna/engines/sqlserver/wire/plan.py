"""A layout in the form that the compiled code reads: sixteen bytes for each column, then tables of code pages."""

import struct

from sterna.core.errors import Unsupported
from sterna.engines.sqlserver.wire import collations, types
from sterna.engines.sqlserver.wire.records import Layout, Physical, width

_COLUMN = struct.Struct("<BBHhHHHBBH")
"""Operation, whether it is padded, the code page's table, offset, NULL byte, NULL mask, bytes or characters, scale, position of the bit, number."""

ASCII_ONLY = 0xFFFF
"""In the place of a code page's table: bytes above 0x7F are left to the Python code."""


def compiled(layout: Layout) -> bytes | None:
    """None: the compiled code does not know this layout."""
    return None
