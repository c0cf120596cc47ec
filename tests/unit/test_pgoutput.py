"""pgoutput's messages, as a PostgreSQL 15 sent them, and nonsense."""

# ruff: noqa: E501 - recordings are one line each

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sterna.core.errors import BadData
from sterna.engines.postgres.wire.pgoutput import (
    UNCHANGED,
    Begin,
    Commit,
    Message,
    Origin,
    Relation,
    RelationColumn,
    Row,
    Said,
    Truncation,
    Type,
    changes,
    decode,
    framed,
    frames,
    messages,
)
from tests.effort import examples

RECORDED: dict[bytes, Message] = {
    b"B\x00\x00\x00\x00\x01P\x9e8\x00\x03\x03\xc9^RQm\x00\x00\x02\xd7": Begin(
        lsn=22060600, time_us=848588335894893, xid=727
    ),
    b"Y\x00\x00@\x01public\x00mood\x00": Type(oid=16385, schema="public", name="mood"),
    b"R\x00\x00@\x03public\x00A b\x00d\x00\x04\x01id\x00\x00\x00\x00\x17\xff\xff\xff\xff\x00m\x00\x00\x00@\x01\xff\xff\xff\xff\x00big\x00\x00\x00\x00\x19\xff\xff\xff\xff\x00n\x00\x00\x00\x06\xa4\x00\x05\x00\x06": Relation(
        oid=16387,
        schema="public",
        table="A b",
        identity="d",
        columns=(
            RelationColumn(name="id", key=True, type_oid=23, typmod=-1),
            RelationColumn(name="m", key=False, type_oid=16385, typmod=-1),
            RelationColumn(name="big", key=False, type_oid=25, typmod=-1),
            RelationColumn(name="n", key=False, type_oid=1700, typmod=327686),
        ),
    ),
    b"I\x00\x00@\x03N\x00\x04t\x00\x00\x00\x011t\x00\x00\x00\x03sadt\x00\x00\x00\x03xxxn": Row(
        kind="I", relation=16387, old=None, whole=False, new=[b"1", b"sad", b"xxx", None]
    ),
    b"C\x00\x00\x00\x00\x00\x01P\x9e8\x00\x00\x00\x00\x01P\x9eh\x00\x03\x03\xc9^RQm": Commit(
        lsn=22060600, end=22060648, time_us=848588335894893
    ),
    b"U\x00\x00@\x03N\x00\x04t\x00\x00\x00\x011t\x00\x00\x00\x03sadut\x00\x00\x00\x041.00": Row(
        kind="U", relation=16387, old=None, whole=False, new=[b"1", b"sad", UNCHANGED, b"1.00"]
    ),
    b"U\x00\x00@\x03K\x00\x04t\x00\x00\x00\x011nnnN\x00\x04t\x00\x00\x00\x012t\x00\x00\x00\x03sadut\x00\x00\x00\x041.00": Row(
        kind="U", relation=16387, old=[b"1", None, None, None], whole=False, new=[b"2", b"sad", UNCHANGED, b"1.00"]
    ),
    b"D\x00\x00@\x03K\x00\x04t\x00\x00\x00\x012nnn": Row(
        kind="D", relation=16387, old=[b"2", None, None, None], whole=False, new=None
    ),
    b"R\x00\x00@\npublic\x00f\x00f\x00\x01\x01id\x00\x00\x00\x00\x17\xff\xff\xff\xff": Relation(
        oid=16394,
        schema="public",
        table="f",
        identity="f",
        columns=(RelationColumn(name="id", key=True, type_oid=23, typmod=-1),),
    ),
    b"U\x00\x00@\nO\x00\x01t\x00\x00\x00\x017N\x00\x01t\x00\x00\x00\x018": Row(
        kind="U", relation=16394, old=[b"7"], whole=True, new=[b"8"]
    ),
    b"D\x00\x00@\nO\x00\x01t\x00\x00\x00\x018": Row(kind="D", relation=16394, old=[b"8"], whole=True, new=None),
    b"T\x00\x00\x00\x02\x03\x00\x00@\n\x00\x00@\x03": Truncation(
        relations=(16394, 16387), cascade=True, restart_identity=True
    ),
    b"M\x01\x00\x00\x00\x00\x01P\xb2\x80hi\x00\x00\x00\x00\x05there": Said(
        transactional=True, lsn=22065792, prefix="hi", content=b"there"
    ),
}
"""Taken from a slot of a PostgreSQL 15."""


@pytest.mark.parametrize("sent", RECORDED)
def test_what_a_server_sent_is_understood(sent: bytes) -> None:
    assert decode(sent) == RECORDED[sent]


@pytest.mark.parametrize("sent", RECORDED)
def test_a_message_that_is_cut_or_too_long_is_bad_data(sent: bytes) -> None:
    for end in range(len(sent)):
        with pytest.raises(BadData):
            decode(sent[:end])
    with pytest.raises(BadData):
        decode(sent + b"\0")


def test_an_origin_is_read() -> None:
    assert decode(b"O\0\0\0\0\0\0\0\x07elsewhere\0") == Origin(7, "elsewhere")


@pytest.mark.parametrize(
    "sent", [b"Z", b"S\0", b"D\0\0\0\1N\0\0", b"I\0\0\0\1N\0\1b\0\0\0\0", b"R\0\0\0\1\0\0x\0\0"]
)
def test_nonsense_is_bad_data(sent: bytes) -> None:
    with pytest.raises(BadData):
        decode(sent)


def test_frames_are_cut_as_they_were_put_together() -> None:
    assert list(frames(framed(list(RECORDED)))) == list(RECORDED)
    assert list(messages(framed(list(RECORDED)))) == list(RECORDED.values())
    assert list(frames(b"")) == []


def test_changes_are_the_messages_that_say_something_about_rows() -> None:
    kept = [each for each in RECORDED.values() if not isinstance(each, Begin | Commit | Origin | Said)]
    assert changes(framed(list(RECORDED))) == kept
    assert changes(b"") == []


@pytest.mark.parametrize("data", [b"\0", b"\0\0\0", b"\0\0\0\2C", b"\xff\xff\xff\xffC"])
def test_frames_that_are_cut_short_are_bad_data(data: bytes) -> None:
    with pytest.raises(BadData):
        list(frames(data))
    with pytest.raises(BadData):
        changes(data)


@given(st.data())
@settings(max_examples=examples(300), deadline=None)
def test_whatever_comes_is_understood_or_refused(data: st.DataObject) -> None:
    start = data.draw(st.sampled_from(list(RECORDED)))
    message = bytearray(start + data.draw(st.binary(max_size=8)))
    for _ in range(data.draw(st.integers(0, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(message))
    except BadData:
        return
