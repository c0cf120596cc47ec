"""What the operator may choose about the APIs."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Settings of the APIs alone; the defaults suit a service on one machine."""

    public_url: str = ""
    """Scheme and host that clients are told to use, e.g. ``https://sterna.example``; empty: the Host they used."""
    clock_window_s: int = 900
    """How far a signature's date may be from this machine's clock."""
    body_limit: int = 1024 * 1024
    """The largest request body, in bytes."""
    token_hours: int = 24
    """How long a token is valid."""
    metrics_token: str = field(default="", repr=False)
    """What ``/metrics`` asks for as a bearer token; empty: it answers clients on this machine alone."""
    stop_wait_s: float = 60.0
    """How long a synchronous stop waits for the task to end."""
    turn_file: Path | None = None
    """Through whose lock services with the same store take turns; None: there is one service alone."""
    worker_address: str = ""
    """From where databases are reached, shown so that it can be whitelisted; empty: where the request came to."""
