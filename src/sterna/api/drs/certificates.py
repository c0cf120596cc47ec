"""Certificates as clients bring them."""

import base64
import binascii
import hashlib
import ssl

from sterna.api.errors import Told


def certificate_of(key: str | None, checksum: str | None) -> str:
    """The PEM text of certificates that came in base64; empty for none.

    The checksum is the SHA-256 of the file, or of its base64 text. Raises Told.
    """
    if not key:
        return ""
    try:
        content = base64.b64decode(key, validate=True)
        text = content.decode("ascii")
        ssl.create_default_context(cadata=text)
    except (binascii.Error, ValueError, ssl.SSLError) as wrong:
        raise Told("DRS.M00202", "ssl_cert_key") from wrong
    sums = {hashlib.sha256(it).hexdigest() for it in (content, key.encode())}
    if checksum and checksum.lower() not in sums:
        raise Told("DRS.M00202", "ssl_cert_check_sum")
    return text
