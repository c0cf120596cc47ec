"""The Standard Compression Scheme for Unicode (UTS #6): nchar and nvarchar in compressed rows.

SQL Server makes the length odd, so that it can be told from UTF-16: what is left over at the end says nothing.
"""

_STATIC = (0x0000, 0x0080, 0x0100, 0x0300, 0x2000, 0x2080, 0x2100, 0x3000)
_DYNAMIC = (0x0080, 0x00C0, 0x0400, 0x0600, 0x0900, 0x3040, 0x30A0, 0xFF00)
_SPECIAL = {0xF9: 0x00C0, 0xFA: 0x0250, 0xFB: 0x0370, 0xFC: 0x0530, 0xFD: 0x3040, 0xFE: 0x30A0, 0xFF: 0xFF60}
_CONTROLS = frozenset({0x00, 0x09, 0x0A, 0x0D})
_SDX, _SQU, _SCU, _UQU, _UDX = 0x0B, 0x0E, 0x0F, 0xF0, 0xF1


def expanded(data: bytes) -> bytes:
    """The same text in UTF-16LE. Raises ValueError for bytes that the scheme does not allow."""
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        return _Expander(data).run()
    return text.encode("utf-16-le") if min(data, default=0x20) >= 0x20 else _Expander(data).run()


class _Expander:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._windows = list(_DYNAMIC)
        self._active = 0
        self._wide = False
        self._out = bytearray()

    def run(self) -> bytes:
        try:
            while self._at < len(self._data):
                if self._wide:
                    self._unit()
                else:
                    self._byte()
        except IndexError:
            pass  # a filler byte that begins something is no text
        return bytes(self._out)

    def _next(self) -> int:
        value = self._data[self._at]
        self._at += 1
        return value

    def _put(self, point: int) -> None:
        self._out += chr(point).encode("utf-16-le", "surrogatepass")

    def _byte(self) -> None:
        """One step where characters are single bytes."""
        byte = self._next()
        if byte >= 0x80:
            self._put(self._windows[self._active] + byte - 0x80)
        elif byte >= 0x20 or byte in _CONTROLS:
            self._put(byte)
        elif byte <= 0x08:
            self._quote(byte - 1)
        elif byte >= 0x18:
            self._define(byte - 0x18)
        elif byte >= 0x10:
            self._active = byte - 0x10
        elif byte == _SQU:
            self._pair(self._next(), self._next())
        elif byte == _SCU:
            self._wide = True
        elif byte == _SDX:
            self._define_far()
        else:
            raise ValueError(f"byte {byte:#x} in compressed text")

    def _unit(self) -> None:
        """One step where characters are pairs of bytes."""
        byte = self._next()
        if not 0xE0 <= byte <= 0xF2:
            self._pair(byte, self._next())
        elif byte < 0xE8:
            self._active, self._wide = byte - 0xE0, False
        elif byte < _UQU:
            self._define(byte - 0xE8)
        elif byte == _UQU:
            self._pair(self._next(), self._next())
        elif byte == _UDX:
            self._define_far()
        else:
            raise ValueError(f"byte {byte:#x} in compressed text")

    def _pair(self, high: int, low: int) -> None:
        self._out += bytes((low, high))

    def _quote(self, window: int) -> None:
        byte = self._next()
        self._put(_STATIC[window] + byte if byte < 0x80 else self._windows[window] + byte - 0x80)

    def _define(self, window: int) -> None:
        offset = self._next()
        if 0x01 <= offset <= 0x67:
            base = offset * 0x80
        elif 0x68 <= offset <= 0xA7:
            base = offset * 0x80 + 0xAC00
        elif offset in _SPECIAL:
            base = _SPECIAL[offset]
        else:
            raise ValueError(f"a window {offset:#x} in compressed text")
        self._windows[window], self._active, self._wide = base, window, False

    def _define_far(self) -> None:
        high, low = self._next(), self._next()
        window = high >> 5
        self._windows[window] = 0x10000 + ((high & 0x1F) << 8 | low) * 0x80
        self._active, self._wide = window, False
