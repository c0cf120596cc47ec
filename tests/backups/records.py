"""Records as plain ("FixedVar") bytes."""

import struct
from collections.abc import Callable, Sequence

from tests.backups.describe import Value
from tests.backups.kinds import stored
from tests.backups.layout import Layout, Spot
from tests.backups.pages import Place

PRIMARY, FORWARDED, STUB, GHOST = 0, 1, 2, 6
LIMIT = 8060
Piece = tuple[bytes, bool]
"""The bytes of a variable column in the row, and whether they are a pointer."""
Off = Callable[[Spot, bytes], Piece | None]
"""Takes a large value out of the row: its pointer, or None where it stays."""


def bits_of(values: Sequence[bool]) -> bytes:
    """Flags as a bitmap."""
    out = bytearray((len(values) + 7) // 8)
    for number, value in enumerate(values):
        out[number >> 3] |= value << (number & 7)
    return bytes(out)


def assemble(
    fixed: bytes,
    nulls: Sequence[bool],
    pieces: Sequence[Piece | None],
    form: int = PRIMARY,
    tag: bytes = b"",
) -> bytes:
    """A record from its fixed part (without head), null flags and variable columns (None: NULL).

    Variable columns at the end that are NULL or empty are left out, as the server does.
    """
    kept = list(pieces)
    while kept and (kept[-1] is None or kept[-1] == (b"", False)):
        kept.pop()
    status = form << 1 | 0x10 | (0x20 if kept else 0) | (0x40 if tag else 0)
    record = struct.pack("<BBH", status, 0, 4 + len(fixed)) + fixed
    record += struct.pack("<H", len(nulls)) + bits_of(nulls)
    if kept:
        record += struct.pack("<H", len(kept))
        end = len(record) + 2 * len(kept)
        ends = []
        for piece in kept:
            end += len(piece[0]) if piece else 0
            ends.append(end | (0x8000 if piece and piece[1] else 0))
        record += struct.pack(f"<{len(ends)}H", *ends) + b"".join(piece[0] for piece in kept if piece)
    return record + tag


def plain(
    layout: Layout,
    values: Sequence[Value],
    off: Off,
    form: int = PRIMARY,
    tag: bytes = b"",
    uniquifier: int | None = None,
    trailer: Piece | None = None,
) -> bytes:
    """A row as a plain record. ``trailer``: one more variable column, as a forwarded record's back pointer."""
    fixed = bytearray(layout.fixed - 4)
    nulls: list[bool] = []
    pieces: list[Piece | None] = [None] * layout.variable
    sparse: list[tuple[int, bytes]] = []
    for spot in layout.spots:
        value = uniquifier if spot.source is None else values[spot.source]
        raw = None if value is None else stored(spot.kind, value, spot.col.collation)
        if not spot.nullbit:
            sparse += [] if raw is None else [(spot.colid, raw)]
            continue
        nulls.append(raw is None and spot.source is not None)
        if raw is None:
            continue
        if spot.offset < 0:
            pieces[-spot.offset - 1] = off(spot, raw) or (raw, False)
        elif spot.kind.xtype == 104:
            fixed[spot.offset - 4] |= raw[0] << spot.bitpos
        else:
            fixed[spot.offset - 4 : spot.offset - 4 + len(raw)] = raw
    if sparse:
        pieces.append((sparse_vector(sparse), True))
    if trailer:
        pieces.append(trailer)
    return assemble(bytes(fixed), nulls, pieces, form, tag)


def sparse_vector(values: Sequence[tuple[int, bytes]]) -> bytes:
    """The values of sparse columns: head, column ids, end offsets, data."""
    count = len(values)
    end = 4 + 4 * count
    ends = []
    for _, raw in values:
        end += len(raw)
        ends.append(end)
    ids = [colid for colid, _ in values]
    return struct.pack(f"<HH{count}H{count}H", 5, count, *ids, *ends) + b"".join(raw for _, raw in values)


def stub(place: Place, slot: int) -> bytes:
    """What stays where a forwarded record was."""
    return struct.pack("<BIHH", STUB << 1, place[1], place[0], slot)


def back_pointer(place: Place, slot: int) -> Piece:
    """The variable column of a forwarded record that points at its stub."""
    return struct.pack("<HIHH", 0x0400, place[1], place[0], slot), True
