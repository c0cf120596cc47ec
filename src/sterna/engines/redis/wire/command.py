"""Commands as servers take them, in RESP."""


def command(*words: bytes) -> bytes:
    """One command as bytes to send."""
    parts = [b"*%d\r\n" % len(words)]
    parts += [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
    return b"".join(parts)
