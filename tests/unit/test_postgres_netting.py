"""What many changes come to."""

from sterna.core.plan import Place
from sterna.engines.postgres.netting import GONE, UPSERT, net
from sterna.engines.postgres.shape import Shape, TargetColumn, TargetTable, shape_of
from sterna.engines.postgres.statements import array
from sterna.engines.postgres.wire.pgoutput import UNCHANGED, Cells, Relation, RelationColumn, Row


def shape(identity: str = "d") -> Shape:
    columns = tuple(
        TargetColumn(name, "integer", "integer", 23, -1, 1007, False, False, "=") for name in ("id", "v")
    )
    relation = tuple(RelationColumn(each.name, each.name == "id" or identity == "f", 23, -1) for each in columns)
    primary = ("id",) if identity == "d" else ()
    target = TargetTable("r", False, columns, primary)
    path = ("db", "public", "a")
    return shape_of(path, Relation(1, "public", "a", identity, relation), Place(path), target, primary)


def row(kind: str, new: Cells | None = None, old: Cells | None = None, *, whole: bool = False) -> Row:
    return Row(kind, 1, old, whole, new)


def test_a_row_that_changes_often_is_written_once() -> None:
    found = net(shape(), [row("U", [b"1", b"%d" % number]) for number in range(9)])
    assert found
    assert list(found.updates.values()) == [[[b"1", b"8"]]]
    assert (found.inserts, found.deletes) == ([], [])


def test_a_row_that_came_and_went_leaves_nothing() -> None:
    found = net(shape(), [row("I", [b"1", b"2"]), row("U", [b"1", b"3"]), row("D", old=[b"1", None])])
    assert found
    assert (found.inserts, found.updates, found.deletes) == ([], {}, [])


def test_a_changed_key_is_a_row_gone_and_a_row_come() -> None:
    found = net(shape(), [row("U", [b"2", b"3"], [b"1", None]), row("U", [b"2", b"4"])])
    assert found
    assert (found.inserts, found.updates, found.deletes) == ([[b"2", b"4"]], {}, [[b"1", None]])


def test_two_rows_that_trade_keys_are_told_apart() -> None:
    trade: list[tuple[Cells, Cells]] = [
        ([b"9", b"x"], [b"1", None]),
        ([b"1", b"y"], [b"2", None]),
        ([b"2", b"x"], [b"9", None]),
    ]
    found = net(shape(), [row("U", new, old) for new, old in trade])
    assert found
    assert found.deletes == [[b"1", None], [b"2", None]]
    assert sorted(map(str, found.inserts)) == sorted(map(str, [[b"1", b"y"], [b"2", b"x"]]))


def test_values_that_were_not_sent_again_are_those_of_before() -> None:
    found = net(shape(), [row("I", [b"1", b"long"]), row("U", [b"1", UNCHANGED])])
    assert found
    assert found.inserts == [[b"1", b"long"]]
    found = net(shape(), [row("U", [b"1", UNCHANGED])])
    assert found
    assert found.updates == {}


def test_a_key_that_changes_in_a_row_not_wholly_known_needs_its_order() -> None:
    assert net(shape(), [row("U", [b"2", UNCHANGED], [b"1", None])]) is None


def test_changes_that_cannot_be_are_left_to_those_who_look_at_the_target() -> None:
    assert net(shape(), [row("I", [b"1", b"1"]), row("I", [b"1", b"2"])]) is None
    assert net(shape(), [row("D", old=[b"1", None]), row("U", [b"1", b"2"])]) is None


def test_rows_that_may_be_there_are_deleted_before_they_are_inserted() -> None:
    found = net(shape(), [row(UPSERT, [b"1", b"2"]), row(GONE, old=[b"3", None])])
    assert found
    assert (found.gone, found.inserts, found.deletes) == ([[b"1", None], [b"3", None]], [[b"1", b"2"]], [])


def test_rows_without_a_key_are_counted() -> None:
    work = [row("I", [b"1", None])] * 3 + [row("D", old=[b"2", None], whole=True)] * 2
    work.append(row("U", [b"2", None], [b"1", None], whole=True))
    found = net(shape("f"), work)
    assert found
    assert found.inserts == [[b"1", None]] * 2
    assert found.images == {(b"2", None): 1}


def test_arrays_are_written_as_the_server_reads_them() -> None:
    assert array([]) == b"{}"
    assert array([b"a", b""]) == b'{"a",""}'
    assert array([b"a", None, b"NULL"]) == b'{"a",NULL,"NULL"}'
    assert array([b'"', b"\\", b"{,}"]) == b'{"\\"","\\\\","{,}"}'
