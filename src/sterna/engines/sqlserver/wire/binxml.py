"""xml columns: stored as UTF-16 text, or as the binary form that [MS-BINXML] describes."""


def xml_text(raw: bytes) -> str:
    """The text of an XML value."""
    return raw.decode("utf-16-le")
