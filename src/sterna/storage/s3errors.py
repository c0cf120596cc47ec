"""What object stores and the way to them say when they refuse, in Sterna's words, with what to do about it.

Codes: Amazon S3 API Reference, "Error responses"; OBS API Reference, "Error Codes". No text of the client library
is passed on: it may quote what was sent.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from botocore import exceptions as aws
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from sterna.core.errors import (
    AccessDenied,
    BadData,
    Invalid,
    NeedsOperator,
    NotFound,
    ServerBusy,
    TargetFull,
    Trouble,
    Unreachable,
)

_DENIED: Mapping[str, tuple[str, str]] = {
    "InvalidAccessKeyId": (
        "does not know the access key",
        "Give the right one: sterna bucket change NAME --access-key.",
    ),
    "InvalidAccessKey": (
        "does not know the access key",
        "Give the right one: sterna bucket change NAME --access-key.",
    ),
    "InactiveAccessKey": (
        "says that the access key is switched off",
        "Switch it on, or use another: sterna bucket change NAME --access-key.",
    ),
    "ExpiredToken": (
        "says that the access key has expired",
        "Use a permanent one: sterna bucket change NAME --access-key.",
    ),
    "SignatureDoesNotMatch": (
        "does not accept the signature",
        "The secret key is not the one of this access key (sterna bucket change), or something on the way changes "
        "requests.",
    ),
    "RequestTimeTooSkewed": (
        "says that this machine's clock is wrong by more than 15 minutes",
        "Set the clock of this machine (NTP), then try again.",
    ),
    "AccessDenied": (
        "refuses access",
        "Give the owner of the access key the right to list the bucket, and to read and write its files.",
    ),
}
_REGION = (
    "PermanentRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "InvalidRegion",
)
_STYLE = ("VirtualHostDomainRequired", "InvalidBucketName", "InvalidURI")
_BUSY = (
    "SlowDown",
    "RequestTimeout",
    "ServiceUnavailable",
    "InternalError",
    "OperationAborted",
    "TooManyRequests",
)
_FULL = ("QuotaExceeded", "QuotaTooSmall", "InsufficientCapacity", "XMinioStorageFull", "EntityTooLarge")
_BEGINS = ("BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch")


@contextmanager
def told(where: str, name: str = "") -> Iterator[None]:
    """Translate what the client library raises. ``where``: the bucket; ``name``: the file, if it is about one."""
    try:
        yield
    except aws.ClientError as error:
        raise of_answer(error.response, where, name) from None
    except (
        ResponseParserError,
        ValueError,
        LookupError,
    ):  # the last two: a date or a size that is none, or is left out
        hint = "Check the endpoint: a web server or proxy may answer there."
        raise NeedsOperator(f"{where} answered with something that is not S3", hint=hint) from None
    except aws.BotoCoreError as error:
        raise _of_way(error, where) from None
    except (HTTPError, OSError) as error:  # the body of an answer broke off: the library lets that through
        raise Unreachable(f"{where}: the connection broke ({type(error).__name__})") from None


def of_answer(answer: Any, where: str, name: str) -> Trouble:
    """The error that an answer of the object store means."""
    code = str(answer.get("Error", {}).get("Code", ""))
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code == "NoSuchBucket":
        return NotFound(f"There is no bucket {where}")
    if code in ("NoSuchKey", "NoSuchUpload") or status == 404:
        return NotFound(f"There is no file {name} in {where}" if name else f"There is no bucket {where}")
    if code in _REGION or status in (301, 307):
        region = answer.get("Error", {}).get("Region") or _header(answer, "x-amz-bucket-region")
        named = f": it is in {region}" if region else ""
        hint = "Give the region, and the endpoint of that region: sterna bucket change NAME --region --endpoint."
        return Invalid("region", f"{where} is in another region{named}", hint=hint)
    if code in _STYLE:
        hint = "Give it --style virtual (OBS takes nothing else at its domain names); else check its name."
        return Invalid("style", f"{where} cannot be addressed like this: {code}", hint=hint)
    if code in _BUSY or status == 429 or status >= 500:
        hint = "" if code.isalpha() else "Check the endpoint: what answers there may be no object store."
        return ServerBusy(f"{where} is not ready: {code or status}", hint=hint)
    if code in _FULL:
        return TargetFull(f"{where} has no room: {code}")
    if code == "PreconditionFailed" or status in (412, 416):
        return replaced(where, name)
    if code in _BEGINS:
        return ServerBusy(f"{where} received other bytes than were sent: {code}")  # sent again, they may arrive
    if code in _DENIED or status in (401, 403):
        said, hint = _DENIED.get(code, _DENIED["AccessDenied"])
        return AccessDenied(f"{where} {said}", hint=hint)
    return NeedsOperator(f"{where} answered with an error: {code or status}")


def replaced(where: str, name: str) -> BadData:
    """The file is no longer the one that was opened."""
    return BadData(
        f"{name} in {where} has been replaced while it was read",
        hint="Let whatever writes it finish, then start again.",
    )


def _of_way(error: aws.BotoCoreError, where: str) -> Trouble:
    """What went wrong before there was an answer, or in the middle of one."""
    match error:
        case aws.SSLError() if "certificate" in str(error).lower():
            hint = "Give the authority that signed it: sterna bucket change NAME --ca-file FILE."
            return AccessDenied(f"{where}: certificate not accepted", hint=hint)
        case aws.ConnectTimeoutError() | aws.ReadTimeoutError():
            return Unreachable(f"{where} did not answer in time")
        case aws.HTTPClientError() | aws.ConnectionError():
            return Unreachable(f"{where} cannot be reached: {_cause(error)}")
        case aws.ParamValidationError() | aws.InvalidRegionError() | aws.UnsupportedS3ConfigurationError():
            return Invalid("bucket", f"{where}: its name, endpoint or region is not valid")
    return NeedsOperator(f"{where}: {type(error).__name__}")


def _cause(error: aws.BotoCoreError) -> str:
    """The innermost reason, which names no request: ``Connection refused`` …"""
    reason: object = getattr(error, "kwargs", {}).get("error", "")
    while isinstance(reason, BaseException):
        inner = getattr(reason, "reason", None) or next(
            (each for each in reason.args if isinstance(each, BaseException)), None
        )
        if not isinstance(inner, BaseException) or inner is reason:
            break
        reason = inner
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    original = getattr(reason, "__cause__", None) or getattr(reason, "__context__", None)
    if isinstance(original, OSError) and original.strerror:
        return original.strerror
    return type(reason).__name__ if isinstance(reason, BaseException) else "no connection"


def _header(answer: Any, name: str) -> str:
    return str(answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get(name, ""))
