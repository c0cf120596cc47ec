"""A certificate authority of one's own, with a server and a client certificate, for tests with TLS."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Certificates:
    """Files in PEM form. The server's is for ``localhost`` and 127.0.0.1; ``cert`` and ``key`` are a client's."""

    ca: Path
    server_cert: Path
    server_key: Path
    cert: Path
    key: Path


def certificates_in(folder: Path) -> Certificates:
    """The files that ``make_certificates`` makes there."""
    names = ("ca.crt", "server.crt", "server.key", "client.crt", "client.key")
    return Certificates(*(folder / name for name in names))


def make_certificates(folder: Path) -> None:
    """Make a new authority and both certificates in an existing folder; they last for ten years."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Sterna test authority")])
    ca = _sign(ca_name, ca_name, ca_key, ca_key, authority=True)
    files = certificates_in(folder)
    _write(files.ca, ca)
    for common_name, cert, key in (
        ("localhost", files.server_cert, files.server_key),
        ("client", files.cert, files.key),
    ):
        private = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        _write(cert, _sign(name, ca_name, private, ca_key, authority=False))
        _write(key, private)


def _sign(
    name: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    by: ec.EllipticCurvePrivateKey,
    *,
    authority: bool,
) -> x509.Certificate:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(
        issuer, name, key.public_key(), x509.random_serial_number(), now - DAY, now + 3650 * DAY
    ).add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    if not authority:
        addresses = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(addresses), critical=False)
    return builder.sign(by, hashes.SHA256())


def _write(path: Path, thing: x509.Certificate | ec.EllipticCurvePrivateKey) -> None:
    pem = serialization.Encoding.PEM
    if isinstance(thing, x509.Certificate):
        path.write_bytes(thing.public_bytes(pem))
        return
    plain = serialization.NoEncryption()
    path.write_bytes(thing.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    path.chmod(0o600)
