"""What an RDB file says before its first key about the stream that follows it.

A replica passes its own master's stream on as it is, without a SELECT at the place where another replica enters:
which database is selected there is in the file alone (``repl-stream-db``, since Redis 4).
"""

from sterna.core.errors import NeedsOperator
from sterna.engines.redis.wire.tape import Short, Tape

OPENING_BYTES = 1 << 16
"""More than any server writes before its first key."""
_AUX, _MAGIC_BYTES = 250, 9


def stream_database(opening: bytes) -> int | None:
    """The database selected where the stream begins; -1: the file does not say. None: more of the file is needed.

    What is damaged says nothing; whoever reads the file for its keys will tell.
    """
    tape = Tape(opening)
    try:
        tape.raw(_MAGIC_BYTES)
        while tape.raw(1)[0] == _AUX:
            name, value = tape.string(), tape.string()
            if name == b"repl-stream-db":
                return int(value) if value.isdigit() else -1
    except Short:
        return None
    except NeedsOperator:
        return -1
    return -1
