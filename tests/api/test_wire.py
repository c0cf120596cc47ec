"""Requests that no client library would send are answered like any other."""

import json
import socket
from urllib.parse import urlsplit

import pytest

from tests.api.service import PROJECT, Service
from tests.effort import PATIENCE


def exchange(service: Service, request: bytes) -> tuple[bytes, bytes, bytes]:
    """Send bytes as they are. Returns the status line, the headers and the body."""
    place = urlsplit(service.url)
    with socket.create_connection((place.hostname, place.port), timeout=PATIENCE) as wire:
        wire.sendall(request)
        got = b""
        while piece := wire.recv(65536):
            got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    status, _, headers = head.partition(b"\r\n")
    return status, headers.lower(), body


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\r\n\r\n",
        b"POST /v3/auth/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v3/auth/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_in_the_gateways_shape(service: Service, request_bytes: bytes) -> None:
    status, headers, body = exchange(service, request_bytes)
    assert status.startswith(b"HTTP/1.1 400 ")
    told = json.loads(body)
    assert (told["error_code"], told["error_msg"]) == ("APIGW.0201", "Bad request")
    assert b"x-request-id: " + told["request_id"].encode() in headers


def test_a_target_may_be_a_whole_url(service: Service) -> None:
    target = f"{service.url}/v2/{PROJECT}/migration-tasks?limit=1"
    token = service.token()
    request = f"GET {target} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\r\nConnection: close\r\n\r\n"
    status, _, body = exchange(service, request.encode())
    assert status == b"HTTP/1.1 200 OK"
    assert "count" in json.loads(body)
