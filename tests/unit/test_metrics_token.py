"""The metrics token comes from a file, and a slip there does not open a door."""

from pathlib import Path

import pytest

from sterna.core.errors import NeedsOperator
from sterna.main import _metrics_token


def test_the_token_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("of-the-metrics\n")
    assert _metrics_token(file) == "of-the-metrics"
    assert _metrics_token(None) == ""


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_a_file_without_a_token_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(NeedsOperator, match="metrics token"):
        _metrics_token(file)
