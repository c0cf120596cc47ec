"""The client of one bucket: where, as whom, and in which form its requests go.

OBS wants three things that other stores let pass: the bucket in the host name, no headers of the newer checksums,
and bodies whose SHA-256 is signed.
"""

import functools
import json
import os
import re
import ssl
from typing import Any
from urllib.parse import urlsplit

import urllib3
from botocore.config import Config
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES as VARIABLES
from botocore.handlers import set_list_objects_encoding_type_url
from botocore.session import Session

from sterna.core.errors import Invalid
from sterna.core.people import Bucket
from sterna.core.plan import Tls
from sterna.storage.s3errors import told

CONNECT_SECONDS = 10
READ_SECONDS = 60
CONNECTIONS = 32
_FILES = {"config_file": os.devnull, "credentials_file": os.devnull}
_ALONE = {name: (None, None, _FILES.get(name, facts[2]), facts[3]) for name, facts in VARIABLES.items()}
"""The library's settings without the AWS variables and files of whoever runs Sterna: a bucket is what was
registered, and nothing else. Its proxies (``HTTPS_PROXY``) it does take from the environment."""


@functools.cache
def _session() -> Session:
    return Session(session_vars=_ALONE)


def client_of(bucket: Bucket) -> Any:
    """A client for a bucket, safe to use from several threads. Raises Invalid for facts that make no sense."""
    check_endpoint(bucket.endpoint)
    tls = Tls(**json.loads(bucket.tls)) if bucket.tls else Tls()
    check_files(tls)
    if not tls.verify:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # told by whoever registered it
    with told(name_of(bucket)):
        client = _session().create_client(
            "s3",
            region_name=bucket.region or region_of(bucket.endpoint),
            endpoint_url=bucket.endpoint,
            aws_access_key_id=bucket.access_key,
            aws_secret_access_key=bucket.secret_key,
            verify=(tls.ca_file or True) if tls.verify else False,
            config=_config(bucket, tls),
        )
    # OBS repeats the same page for ever if names are asked for in this form; S3Storage asks where it has to.
    for operation in ("ListObjects", "ListObjectsV2"):
        client.meta.events.unregister(f"before-parameter-build.s3.{operation}", set_list_objects_encoding_type_url)
    client.meta.events.register("before-call.s3", _stay)
    return client


def _stay(params: Any, **_: object) -> None:
    """Keep the library from following a store to another region, again and again if that is what it says.

    A bucket is at the endpoint that was registered, or its region is wrong, which is for a person to hear.
    """
    params["context"].setdefault("s3_redirect", {})["redirected"] = True


def _config(bucket: Bucket, tls: Tls) -> Config:
    certificate = (tls.cert_file, tls.key_file) if tls.key_file else tls.cert_file
    return Config(
        signature_version="s3v4",
        s3={"addressing_style": bucket.style, "payload_signing_enabled": True},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        max_pool_connections=CONNECTIONS,
        retries={"total_max_attempts": 1},  # tried again by Patience, which knows what may be
        client_cert=certificate or None,
        tcp_keepalive=True,
    )


def name_of(bucket: Bucket) -> str:
    """What messages call it: its name, and the object store's where that is another."""
    remote = bucket.remote_name or bucket.name
    return f"{remote} at {bucket.endpoint}"


def check_endpoint(endpoint: str) -> None:
    """Raises Invalid unless it is ``http(s)://host[:port]`` and no more."""
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), 0
    bare = not (parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc)
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or not bare:
        raise Invalid("endpoint", "An endpoint is https://HOST or https://HOST:PORT, without a path or a user")


def check_files(tls: Tls) -> None:
    """Raises Invalid unless the files with certificates are there and hold what they should."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if tls.ca_file:
            context.load_verify_locations(tls.ca_file)
        if tls.cert_file:
            context.load_cert_chain(tls.cert_file, tls.key_file or None, password="")
    except OSError as error:  # ssl.SSLError is one too
        files = ", ".join(filter(None, (tls.ca_file, tls.cert_file, tls.key_file)))
        raise Invalid("tls", f"The certificates in {files} cannot be used: {error.strerror or error}") from None


def region_of(endpoint: str) -> str:
    """The region in a host such as ``obs.eu-de.otc.t-systems.com`` or ``s3.eu-west-1.amazonaws.com``.

    ``us-east-1``, which stores without regions take, for all others.
    """
    match = re.match(r"(?:obs|s3)[.-]([a-z]{2}(?:-[a-z]+)+(?:-\d+)?)\.", urlsplit(endpoint).hostname or "")
    return match[1] if match else "us-east-1"
