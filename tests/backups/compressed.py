"""Records under row and page compression."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from tests.backups.describe import Put
from tests.backups.layout import Layout
from tests.backups.pages import Page
from tests.backups.records import Off


@dataclass
class Compressor:
    """Writes rows as CD records."""

    layout: Layout
    off: Off

    def pages(self, rows: Sequence[Put], whole: bool, fresh: Callable[[], Page]) -> Iterator[Page]:
        """Fill pages with rows."""
        raise NotImplementedError
