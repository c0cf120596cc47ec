"""Binary XML, paths of hierarchies and spatial values, made by hand after the public descriptions."""

import random
import struct
from collections.abc import Sequence
from itertools import pairwise
from uuid import UUID

import pytest

from sterna.core.errors import Unsupported
from sterna.engines.sqlserver.wire.binxml import xml_pieces, xml_text
from sterna.engines.sqlserver.wire.clr import hierarchy_path, well_known_text

HEAD = bytes.fromhex("dfff01b004")


def words(text: str) -> bytes:
    return bytes([len(text)]) + text.encode("utf-16-le")


def name(text: str) -> bytes:
    return b"\xf0" + words(text)


def qualified(uri: int, prefix: int, local: int) -> bytes:
    return b"\xef" + bytes([uri, prefix, local])


ROOT = name("root") + qualified(0, 0, 1)


def content(*items: bytes) -> str:
    """The text inside a root element."""
    text = xml_text(HEAD + ROOT + b"\xf8\1" + b"".join(items) + b"\xf7")
    assert text.startswith("<root>")
    return text.removeprefix("<root>").removesuffix("</root>")


def test_the_text_does_not_depend_on_where_its_bytes_are_cut() -> None:
    long = "é<&\U0001f426\r" * 40_000
    count = len(long.encode("utf-16-le")) // 2
    size = bytes((count & 0x7F | 0x80, count >> 7 & 0x7F | 0x80, count >> 14))
    body = [HEAD, ROOT, b"\xf8\1", name("a"), qualified(0, 0, 2), b"\xf6\2\x11", words("v"), b"\xf5", b"\x11"]
    raw = b"".join([*body, size, long.encode("utf-16-le"), b"\xf8\2\xf7" * 3000, b"\xf7"])
    whole = xml_text(raw)
    inner = long.replace("&", "&amp;").replace("<", "&lt;").replace("\r", "&#xD;")
    assert whole == f'<root a="v">{inner}{"<a/>" * 3000}</root>'
    chance = random.Random(2)
    for most in (7, 5000, 100_000):
        cuts = [0]
        while cuts[-1] < len(raw):
            cuts.append(cuts[-1] + chance.randint(2, most))
        pieces = list(xml_pieces(raw[start:end] for start, end in pairwise(cuts)))
        assert "".join(pieces) == whole
        assert max(map(len, pieces)) < 1 << 19
    text = "<a>é\U0001f426</a>".encode("utf-16-le")
    assert "".join(xml_pieces(iter([text[:2], text[2:9], text[9:]]))) == "<a>é\U0001f426</a>"
    with pytest.raises(ValueError, match="cut off"):
        list(xml_pieces(iter([raw[:100], raw[100 : len(raw) // 2]])))


def test_elements_attributes_and_text() -> None:
    parts = [HEAD, ROOT, b"\xf8\1", name("a"), qualified(0, 0, 2), b"\xf6\2\x11", words('1<"\n'), b"\xf5"]
    parts += [
        b"\x11",
        words("x & y > z\r"),
        b"\xf8\2",
        b"\xf6\2\x11",
        words(""),
        b"\xf5\xf7",
        b"\xf8\1\xf7",
        b"\xf7",
    ]
    expected = '<root a="1&lt;&quot;&#xA;">x &amp; y &gt; z&#xD;<a a=""/><root/></root>'
    assert xml_text(b"".join(parts)) == expected


def test_a_fragment_needs_no_root() -> None:
    assert xml_text(HEAD + b"\x11" + words("loose") + ROOT + b"\xf8\1\xf7\xf8\1\xf7") == "loose<root/><root/>"
    assert xml_text(HEAD) == ""


def test_namespaces_are_declared_where_the_document_does_not() -> None:
    names = name("urn:x") + name("p") + name("e") + qualified(1, 2, 3) + qualified(1, 0, 3)
    assert xml_text(HEAD + names + b"\xf8\1\xf8\1\xf7\xf7") == '<p:e xmlns:p="urn:x"><p:e/></p:e>'
    assert xml_text(HEAD + names + b"\xf8\2\xf8\2\xf7\xf7") == '<e xmlns="urn:x"><e/></e>'


def test_namespaces_that_are_declared_are_left_as_they_are() -> None:
    names = name("urn:x") + name("p") + name("e") + name("xmlns") + name("http://www.w3.org/2000/xmlns/")
    names += qualified(1, 2, 3) + qualified(5, 4, 2) + qualified(5, 0, 4) + qualified(1, 0, 3)
    text = (
        HEAD
        + names
        + b"\xf8\1\xf6\2\x11"
        + words("urn:x")
        + b"\xf5\xf8\4\xf6\3\x11"
        + words("urn:x")
        + b"\xf5\xf7\xf7"
    )
    assert xml_text(text) == '<p:e xmlns:p="urn:x"><e xmlns="urn:x"/></p:e>'


def test_comments_instructions_cdata_and_declarations() -> None:
    start = (
        HEAD + b"\xfe" + words("1.0") + b"\xfd" + words("utf-16") + b"\0" + name("pi") + b"\xf4\1" + words("do it")
    )
    start += (
        b"\xfc"
        + words("r")
        + b"\xfb"
        + words("r.dtd")
        + b"\xf9"
        + words("<!ELEMENT r ANY>")
        + b"\xf3"
        + words(" hm ")
    )
    expected = '<?pi do it?><!DOCTYPE r SYSTEM "r.dtd" [<!ELEMENT r ANY>]><!-- hm -->'
    assert xml_text(start) == expected
    assert (
        content(b"\xf2", words("a < b"), b"\xf2", words(" ]]> c"), b"\xf1")
        == "<![CDATA[a < b ]]]]><![CDATA[> c]]>"
    )


def test_a_document_inside_a_document_has_names_of_its_own() -> None:
    inside = b"\xec" + HEAD + name("other") + qualified(0, 0, 1) + b"\xf8\1\xf7" + b"\xeb"
    assert content(inside, b"\xf8\1\xf7") == "<other/><root/>"


def test_names_are_forgotten_where_the_document_says_so() -> None:
    assert content(b"\xe9", name("new"), qualified(0, 0, 1), b"\xf8\1\xf7") == "<new/>"


def test_extensions_are_passed_over() -> None:
    assert content(b"\xea\3abc", b"\x11", words("x")) == "x"


@pytest.mark.parametrize(
    ("token", "data", "text"),
    [
        (0x01, struct.pack("<h", -5), "-5"),
        (0x02, struct.pack("<i", 7), "7"),
        (0x03, struct.pack("<f", 0.1), "0.1"),
        (0x04, struct.pack("<d", 1e21), "1E+21"),
        (0x05, struct.pack("<q", -12345), "-1.2345"),
        (0x06, b"\1", "1"),
        (0x07, b"\xff", "255"),
        (0x08, struct.pack("<q", 2**40), str(2**40)),
        (0x09, UUID("6F9619FF-8B86-D011-B42D-00C04FC964FF").bytes_le, "6F9619FF-8B86-D011-B42D-00C04FC964FF"),
        (0x0A, b"\7\5\2\0" + struct.pack("<I", 12340), "-123.40"),
        (0x87, b"\7\5\2\1" + struct.pack("<I", 12340), "123.4"),
        (0x0C, b"\3abc", "YWJj"),
        (0x84, b"\2\xab\xcd", "ABCD"),
        (0x85, b"\3abc", "YWJj"),
        (0x0D, b"\6" + struct.pack("<I", 1252) + b"\xe9t", "ét"),
        (0x0E, words("wide"), "wide"),
        (0x18, words("n"), "n"),
        (0x12, struct.pack("<iI", 35_248, 150), "1996-07-04T00:00:00.5"),
        (0x13, struct.pack("<HH", 1, 61), "1900-01-02T01:01:00"),
        (0x14, struct.pack("<i", 5), "0.0005"),
        (0x86, b"\1", "true"),
        (0x88, b"\xff", "-1"),
        (0x89, b"\xff\xff", "65535"),
        (0x8A, b"\xff" * 4, "4294967295"),
        (0x8B, b"\xff" * 8, str(2**64 - 1)),
        (0x8C, b"\1", "root"),
        (0x7F, b"\0\0\0", "0001-01-01"),
        (0x7E, b"\0\1\0\0\0\0\0", "0001-01-01T00:00:01"),
        (0x7D, b"\7" + bytes(8), "00:00:00"),
        (0x7B, b"\0\1\0\0\1\0\0" + struct.pack("<h", -60), "0001-01-01T23:00:01-01:00"),
        (0x7C, b"\0\0\0\0\1\0\0\0\0", "0001-01-02Z"),
        (0x7A, b"\0\0\0\0\1\0\0" + struct.pack("<h", 90), "01:30:00+01:30"),
        (0xED, words("<raw/>"), "<raw/>"),
    ],
)
def test_values_of_every_type_become_their_text(token: int, data: bytes, text: str) -> None:
    assert content(bytes([token]) + data) == text


def test_a_long_text_has_a_length_of_several_bytes() -> None:
    long = "x" * 300
    assert content(b"\x11\xac\x02" + long.encode("utf-16-le")) == long


def test_xml_as_text_is_passed_through() -> None:
    assert xml_text("\ufeff<a>é</a>".encode("utf-16-le")) == "<a>é</a>"
    assert xml_text("<a/>".encode("utf-16-le")) == "<a/>"


@pytest.mark.parametrize(
    "raw",
    [
        HEAD + ROOT + b"\xf8\1",
        HEAD + b"\xf7",
        HEAD + b"\xf8\1",
        HEAD + b"\xeb",
        HEAD + ROOT + b"\xf8\1\xf6\1\xf7",
        b"\xdf\xff\3\xb0\x04",
        HEAD + b"\x11\xff\xff\xff\xff\x0f",
        HEAD + b"\x11" + b"\xff" * 12,
        HEAD + b"\x60",
        HEAD + b"\xf2" + words("x") + b"\xf7",
        HEAD + b"\x7e\x09",
        b"a",
        HEAD + (b"\xec" + HEAD) * 40,
    ],
    ids=lambda raw: raw.hex()[10:30],
)
def test_bytes_that_are_no_xml_are_refused(raw: bytes) -> None:
    with pytest.raises((ValueError, struct.error, IndexError)):
        xml_text(raw)


def test_dates_of_typed_xml_of_2005_are_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="SQL Server 2005"):
        content(b"\x82" + bytes(8))


@pytest.mark.parametrize(
    ("stored", "path"),
    [
        # as SQL Server shows them
        ("", "/"),
        ("48", "/0/"),
        ("58", "/1/"),
        ("68", "/2/"),
        ("78", "/3/"),
        ("84", "/4/"),
        ("5ac0", "/1/1/"),
        ("62c0", "/1.1/"),
        ("e02540", "/98/"),
        # from the description
        ("3f80", "/-1/"),
        ("3880", "/-8/"),
        ("a2", "/8/"),
        ("c110", "/16/"),
    ],
)
def test_a_hierarchyid_is_its_path(stored: str, path: str) -> None:
    assert hierarchy_path(bytes.fromhex(stored)) == path


@pytest.mark.parametrize("stored", ["ff", "60", "04", "00" * 893])
def test_bits_that_are_no_path_are_refused(stored: str) -> None:
    with pytest.raises(ValueError, match="hierarchyid"):
        hierarchy_path(bytes.fromhex(stored))


def spatial(
    points: Sequence[tuple[float, ...]],
    figures: list[tuple[int, int]],
    shapes: list[tuple[int, int, int]],
    *,
    srid: int = 0,
    flags: int = 4,
    version: int = 1,
) -> bytes:
    raw = struct.pack("<iBBI", srid, version, flags, len(points))
    raw += b"".join(struct.pack("<2d", *point[:2]) for point in points)
    for extra in range(2, len(points[0]) if points else 2):
        raw += b"".join(struct.pack("<d", point[extra]) for point in points)
    raw += struct.pack("<I", len(figures)) + b"".join(struct.pack("<Bi", *figure) for figure in figures)
    return raw + struct.pack("<I", len(shapes)) + b"".join(struct.pack("<iiB", *shape) for shape in shapes)


SQUARE = [(0.0, 0.0), (0.0, 9.0), (9.0, 9.0), (0.0, 0.0)]
HOLE = [(1.0, 2.0), (2.0, 3.0), (1.5, 3.0), (1.0, 2.0)]
RING, INNER = "(0 0, 0 9, 9 9, 0 0)", "(1 2, 2 3, 1.5 3, 1 2)"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (struct.pack("<iBBdd", 0, 1, 0x0C, 1.5, -2), "POINT (1.5 -2)"),
        (struct.pack("<iBBddd", 0, 1, 0x0D, 1, 2, 3), "POINT Z (1 2 3)"),
        (struct.pack("<iBBddd", 0, 1, 0x0E, 1, 2, 4), "POINT M (1 2 4)"),
        (struct.pack("<iBBdddd", 25832, 1, 0x0F, 1, 2, 3, 4), "SRID=25832;POINT ZM (1 2 3 4)"),
        (struct.pack("<iBB4d", 0, 1, 0x14, 1, 2, 3, 4), "LINESTRING (1 2, 3 4)"),
        (spatial([], [], [(-1, -1, 1)]), "POINT EMPTY"),
        (spatial([], [], [(-1, -1, 7)]), "GEOMETRYCOLLECTION EMPTY"),
        (spatial(SQUARE + HOLE, [(2, 0), (0, 4)], [(-1, 0, 3)]), f"POLYGON ({RING}, {INNER})"),
        (spatial(SQUARE[:3], [(1, 0)], [(-1, 0, 2)]), "LINESTRING (0 0, 0 9, 9 9)"),
        (spatial(SQUARE[1:3], [(1, 0), (1, 1)], [(-1, 0, 4), (0, 0, 1), (0, 1, 1)]), "MULTIPOINT ((0 9), (9 9))"),
        (
            spatial(SQUARE + HOLE, [(1, 0), (1, 4)], [(-1, 0, 5), (0, 0, 2), (0, 1, 2)]),
            f"MULTILINESTRING ({RING}, {INNER})",
        ),
        (
            spatial(SQUARE + HOLE + SQUARE, [(2, 0), (0, 4), (2, 8)], [(-1, 0, 6), (0, 0, 3), (0, 2, 3)]),
            f"MULTIPOLYGON (({RING}, {INNER}), ({RING}))",
        ),
        (
            spatial(
                [(5.0, 6.0), *SQUARE], [(1, 0), (1, 1)], [(-1, 0, 7), (0, 0, 1), (0, 1, 7), (2, 1, 2), (0, -1, 3)]
            ),
            f"GEOMETRYCOLLECTION (POINT (5 6), GEOMETRYCOLLECTION (LINESTRING {RING}), POLYGON EMPTY)",
        ),
        (spatial(SQUARE[:3], [(2, 0)], [(-1, 0, 8)], version=2), "CIRCULARSTRING (0 0, 0 9, 9 9)"),
        (
            spatial([(1.0, 2.0, 3.0), (4.0, 5.0, float("nan"))], [(1, 0)], [(-1, 0, 2)], flags=5),
            "LINESTRING Z (1 2 3, 4 5 NaN)",
        ),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_spatial_value_is_well_known_text(raw: bytes, text: str) -> None:
    assert well_known_text(raw, geography=False) == text


def test_a_geography_has_its_latitude_first_and_its_reference_system() -> None:
    raw = struct.pack("<iBBdd", 4326, 1, 0x0C, 47.6, -122.3)
    assert well_known_text(raw, geography=True) == "SRID=4326;POINT (-122.3 47.6)"


def curves(
    points: Sequence[tuple[float, ...]], figures: list[tuple[int, int]], kind: int, segments: bytes
) -> bytes:
    return spatial(points, figures, [(-1, 0, kind)], version=2) + struct.pack("<I", len(segments)) + segments


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (
            curves([*SQUARE, (7.0, 7.0), (8.0, 8.0)], [(3, 0)], 9, b"\3\2\0\0"),
            "COMPOUNDCURVE (CIRCULARSTRING (0 0, 0 9, 9 9), (9 9, 0 0, 7 7, 8 8))",
        ),
        (
            curves([*SQUARE, *HOLE, *SQUARE], [(1, 0), (2, 4), (3, 8)], 10, b"\2\3"),
            f"CURVEPOLYGON ({RING}, CIRCULARSTRING {INNER}, "
            "COMPOUNDCURVE ((0 0, 0 9), CIRCULARSTRING (0 9, 9 9, 0 0)))",
        ),
        (
            curves([*SQUARE, (1.0, 1.0)], [(3, 0)], 9, b"\3\1"),
            "COMPOUNDCURVE (CIRCULARSTRING (0 0, 0 9, 9 9, 0 0, 1 1))",
        ),
        (spatial([], [], [(-1, -1, 9)], version=2), "COMPOUNDCURVE EMPTY"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_curves_of_lines_and_arcs(raw: bytes, text: str) -> None:
    assert well_known_text(raw, geography=False) == text


@pytest.mark.parametrize("segments", [b"", b"\0", b"\2\0", b"\7\2\2"])
def test_curves_whose_segments_do_not_fit_are_refused(segments: bytes) -> None:
    with pytest.raises(ValueError, match="segments"):
        well_known_text(curves(SQUARE, [(3, 0)], 9, segments), geography=False)


def test_the_whole_globe_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="FULLGLOBE"):
        well_known_text(spatial([], [], [(-1, -1, 11)], version=2), geography=True)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        bytes(5),
        struct.pack("<iBB", 0, 1, 0x0C),
        struct.pack("<iBBI", 0, 1, 4, 2**31),
        spatial(SQUARE, [(1, 3), (1, 1)], [(-1, 0, 2)]),
        spatial(SQUARE, [(1, 9)], [(-1, 0, 2)]),
        spatial(SQUARE, [(1, 0)], [(-1, 5, 2)]),
        spatial(SQUARE, [(1, 0)], [(0, 0, 7)]),
        spatial(SQUARE, [(1, 0)], []),
        spatial(SQUARE, [(1, 0)], [(-1, 0, 7), (1, 0, 2)]),
        spatial(SQUARE, [(1, 0)], [(-1, 0, 99)]),
        spatial(SQUARE, [(1, 0)], [(-1, -1, 7), *((i, -1, 7) for i in range(40))]),
        struct.pack("<iBBdd", 0, 1, 0x0C, float("inf"), 0),
    ],
    ids=lambda raw: raw.hex()[:40],
)
def test_bytes_that_are_no_spatial_value_are_refused(raw: bytes) -> None:
    with pytest.raises((ValueError, struct.error)):
        well_known_text(raw, geography=False)
