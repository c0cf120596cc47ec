"""Texts of the catalogue: views, procedures, defaults, rules, wherever they lie."""

from collections.abc import Callable

from sterna.engines.sqlserver.wire.base import Row
from sterna.engines.sqlserver.wire.catalog import TEXT_OF_OBJECT, Catalog


class Texts:
    """Texts of the catalogue, wherever they lie."""

    def __init__(self, catalog: Catalog, fetch: Callable[[bytes], bytes], decode: Callable[[bytes], str]) -> None:
        self._catalog = catalog
        self._fetch = fetch
        self._decode = decode

    def find(self, kind: int, object_id: int, part: int = 0) -> str:
        """The text of an object or of a part of it; empty: none is kept. Raises BadData."""
        row = self._catalog.texts.get((kind, object_id, part))
        if row is None:
            return ""
        data = row.raw("imageval")
        if row.is_elsewhere("imageval"):
            data = self._fetch(data)
        return self._decode(data)

    def value(self, row: Row) -> bytes:
        """The value of an extended property, a sql_variant, wherever it lies. Raises BadData."""
        data = row.raw("value")
        return self._fetch(data) if row.is_elsewhere("value") else data

    def module(self, object_id: int) -> str:
        """The text of a view, procedure, function or trigger; empty where none is kept, or it is encrypted."""
        text = self.find(TEXT_OF_OBJECT, object_id, 0) or self.find(TEXT_OF_OBJECT, object_id, 1)
        return text if readable(text) else ""

    def kept(self, object_id: int) -> bool:
        """Whether there is a text at all, readable or not."""
        return any((TEXT_OF_OBJECT, object_id, part) in self._catalog.texts for part in (0, 1))


def readable(text: str) -> bool:
    """Whether it looks like a text that a person wrote: an encrypted one has letters of all kinds in it."""
    odd = sum(1 for letter in text if (letter < " " and letter not in "\r\n\t\f") or "\x7f" <= letter < "\xa0")
    return odd * 20 <= len(text)
