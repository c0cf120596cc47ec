"""What SQL Server's errors mean for a job, by their numbers.

The numbers and their texts are those of sys.messages; see "Database engine events and errors" in the public
documentation. An error that is not listed stops the job with the server's own words.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sterna.core.errors import (
    AccessDenied,
    ApplyFailed,
    BadData,
    KeyConflict,
    ServerBusy,
    TargetFull,
    Trouble,
    Unreachable,
    Unsupported,
)

TERMINATING = 3013
"""``RESTORE … is terminating abnormally``: says nothing by itself."""
NOT_A_BACKUP = frozenset((3241, 3242, 3243, 3254))
TOO_EARLY = 4326
"""The log ends before the state of the database: it holds nothing that is missing."""
LONGEST = 900
_SAYS_NOTHING = frozenset((TERMINATING, 3119, 3621, 5069, 0))


@dataclass(frozen=True, slots=True)
class Said:
    """An error of the server's."""

    number: int
    text: str


class ServerFault(Exception):
    """The server answered with errors, in the order in which they came."""

    def __init__(self, errors: Sequence[Said]) -> None:
        self.errors = tuple(errors)
        super().__init__(words(errors))

    def has(self, numbers: Iterable[int]) -> bool:
        return any(each.number in set(numbers) for each in self.errors)


def words(errors: Sequence[Said]) -> str:
    """The server's own text and numbers, what says nothing left out where something else does."""
    telling = [each for each in errors if each.number not in _SAYS_NOTHING] or list(errors)
    return "; ".join(f"error {each.number}: {each.text.strip()}" for each in telling)[:LONGEST]


def trouble(fault: ServerFault, where: str) -> Trouble:
    """As Sterna's error. ``where``: what was being done, with the database and the file."""
    message = f"{where}: SQL Server says {words(fault.errors)}"
    for each in fault.errors:
        if each.number in (3201, 3203, 3271):
            return _device(each, message)
        if each.number in _FILES:
            return _file(each, message)
        if found := _KNOWN.get(each.number):
            kind, hint = found
            return kind(message, hint=hint)
    return ApplyFailed(message, hint="Look up the error of SQL Server, mend its cause, then start the job again.")


def _device(said: Said, message: str) -> Trouble:
    """The server could not open or read a backup file: the operating system's error says why."""
    low = said.text.lower()
    if "s3://" in low:
        return _store(said, message, low)
    if "operating system error 5(" in low or "access is denied" in low:
        return AccessDenied(message, hint=_MAY_READ)
    if any(f"operating system error {number}(" in low for number in (2, 3, 53, 67)):
        return ApplyFailed(message, hint=_SAME_FOLDER)
    if any(f"operating system error {number}(" in low for number in _PASSING):
        return Unreachable(message, hint=_BUSY_FILE)
    if "operating system error 38(" in low or "end of the file" in low:
        return BadData(message, hint=_AGAIN)
    if said.number == 3201:
        return ApplyFailed(message, hint=_SAME_FOLDER)
    return Unreachable(message, hint="The server could not read the backup file; the job tries again by itself.")


def _store(said: Said, message: str, low: str) -> Trouble:
    """The server could not read a file from the object store."""
    if any(f"operating system error {number}(" in low for number in (5, 86)) or "403" in low:
        return AccessDenied(message, hint=_STORE_KEYS)
    if "operating system error 38(" in low:
        return BadData(message, hint=_AGAIN)
    if said.number == 3201:
        return ApplyFailed(message, hint=_STORE_PLACE)
    return Unreachable(message, hint="The server could not read the backup file; the job tries again by itself.")


def _file(said: Said, message: str) -> Trouble:
    """The server could not make a file of the database."""
    low = said.text.lower()
    if "operating system error 112(" in low or "'112(" in low or "not enough space" in low:
        return TargetFull(message, hint=_ROOM)
    if "operating system error 5(" in low or "'5(" in low or "access is denied" in low:
        return AccessDenied(
            message, hint="Give the account that SQL Server runs as the right to its data folders."
        )
    return ApplyFailed(message, hint="Make the default data and log folders of the instance exist on the server.")


_FILES = frozenset((5110, 5118, 5120, 5123, 5133, 5149, 3634))
_PASSING = (32, 33, 59, 64, 121, 1231, 1450)
"""Errors of the operating system that pass: a file that somebody else has open, a network that was away."""
_AGAIN = "Copy the backup file again from where it was made, or take a new backup."
_MAY_READ = "Give the account that SQL Server runs as the right to read the shared folder, or the store's files."
_BUSY_FILE = "Something else has the file open, or the share was away; the job tries again by itself."
_STORE_KEYS = (
    "Check the keys that the bucket is registered with (they need ListBucket and read; letters and digits alone "
    "are documented to work), or a credential of that address that is on the server already."
)
_STORE_PLACE = (
    "Check that the server reaches the object store by https and trusts its certificate, and that the bucket is "
    "registered with the path or virtual style that the store takes."
)
_SAME_FOLDER = "Check that shared_path, as the server sees it, is the same folder as shared_folder here."
_ROOM = "Give the volume of the instance's data or log folder more room, then start the job again."
_RIGHTS = "Make the login a member of dbcreator (or sysadmin), or give it the right that is named."
_CHAIN = "Restore the backups in order: full, then the differential, then every log since, none left out."
_BEGIN = "Restore the full backup first, by a job with last_backup false, so that the database waits for more."
_NEWER = "Restore into a SQL Server of the same version or a newer one."
_LOGIN = "Correct the user and the password of the registered instance."
_EDITION = "Restore into an edition that allows it."
_STREAM = "Turn on FILESTREAM for the instance (SQL Server Configuration Manager), then start the job again."
_KEY = "Restore the certificate or key that the backup was encrypted with into master on the server first."

_LEAVE = (
    "Take the database out of its availability group or mirroring, drop its snapshots, or choose another name."
)
_RESTART = "Let a job with is_cover restore the whole chain anew, from its full backup."
_PLACES = "Look at where the message says that the files should go, and what is there already."
_CONTAINED = "Let it in: EXEC sp_configure 'contained database authentication', 1; RECONFIGURE."
_ALL_FILES = "Name all files of the media set, each once."
_OTHER_NAME = "Choose another name, or let the job overwrite (is_cover)."

_KNOWN: dict[int, tuple[type[Trouble], str]] = {
    **dict.fromkeys((18452, 18456, 18470, 18486, 18487, 18488, 4060, 4064), (AccessDenied, _LOGIN)),
    **dict.fromkeys((229, 230, 262, 297, 300, 916, 3110, 15151, 15247, 5011), (AccessDenied, _RIGHTS)),
    **dict.fromkeys((922, 3101, 3102, 1205, 1222, 701, 5061, 5064, 5070), (ServerBusy, "")),
    **dict.fromkeys((596, 6005, 17142, 17147, 17148, 17187, 18401, 18451, 18461), (Unreachable, "")),
    **dict.fromkeys((3143, 3182, 3183, 3185, 3186, 3189, 3241, 3242), (BadData, _AGAIN)),
    **dict.fromkeys((3243, 3254, 3256, 3266), (BadData, _AGAIN)),
    **dict.fromkeys((3132, 3133, 3231, 3227, 3247), (BadData, _ALL_FILES)),
    **dict.fromkeys((4305, 4312, 4318, 4326, 4330, 3120, 3121), (BadData, _CHAIN)),
    **dict.fromkeys((3135, 3136, 3178, 4327), (BadData, _CHAIN)),
    **dict.fromkeys((4319, 4320, 4323), (ApplyFailed, _RESTART)),
    **dict.fromkeys((3117, 3118, 4306), (ApplyFailed, _BEGIN)),
    **dict.fromkeys((1834, 3142, 3156, 3176), (ApplyFailed, _PLACES)),
    **dict.fromkeys((1801, 3141, 3154, 3159), (KeyConflict, _OTHER_NAME)),
    **dict.fromkeys((1468, 3104, 5094), (KeyConflict, _LEAVE)),
    **dict.fromkeys((3257, 1101, 1105, 9002), (TargetFull, _ROOM)),
    **dict.fromkeys((1827, 905, 909), (Unsupported, _EDITION)),
    **dict.fromkeys((3169, 948, 1813), (Unsupported, _NEWER)),
    **dict.fromkeys((5591, 5592, 5593), (Unsupported, _STREAM)),
    **dict.fromkeys((33111, 33101, 15507, 15581), (Unsupported, _KEY)),
    12824: (Unsupported, _CONTAINED),
}
