"""What a source and a target must be alike."""

from collections.abc import Mapping

from sterna.core.finding import Verdict, alarm, failed, passed

OLDEST, NEWEST = 100_000, 190_000
"""Versions that are known, as ``server_version_num``; the newest is the first that is not."""


def connections_of(most: int, facts: Mapping[str, object], side: str) -> Verdict:
    """About ten are used while the copy is made."""
    used = int(str(facts.get("connections", 0)))
    seen = f"{used} of {most} connections are used"
    if most - used >= 12:
        return passed(seen)
    remedy = f"On the {side}: ALTER SYSTEM SET max_connections = {used + 50}; then restart it, or end idle ones"
    return failed(seen, remedy) if most - used < 6 else alarm(seen, remedy)


def encryption_of(tls: bool, facts: Mapping[str, object], side: str) -> Verdict:
    """Data and password do not go over a network in clear."""
    if tls or facts.get("local"):
        return passed("encrypted" if tls else "not encrypted, within one machine")
    return alarm(
        f"The connection to the {side} is not encrypted",
        "Use TLS: sslmode=verify-full in the URL, or ssl_link with a certificate in the API",
    )
