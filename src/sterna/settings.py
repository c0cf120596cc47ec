"""Settings, read once: command line over STERNA_… environment over TOML file over defaults.

The fields of ``Settings`` are the one table of what can be set. Each has one name everywhere: ``tls_cert`` is
``--tls-cert`` on the command line, ``STERNA_TLS_CERT`` in the environment and ``tls_cert`` in the file.
"""

import dataclasses
import ipaddress
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sterna.core.errors import Invalid

PREFIX = "STERNA_"
FILE_NAME = "sterna.toml"
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def _size(value: object) -> int:
    """Bytes: a whole number, or one with K, M, G or T (optionally iB or B) for powers of 1024."""
    match = re.fullmatch(r"(\d{1,15})\s*([KMGT]?)(?:I?B)?", str(value).strip().upper())
    if match is None or isinstance(value, bool):
        raise ValueError("a size is a whole number of bytes, or one such as 64K, 1MiB, 20G")
    return int(match[1]) * _UNITS[match[2]]


def _seconds(value: object) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,9}", str(value).strip()):
        raise ValueError("this is a whole number of seconds")
    return int(str(value))


def _hours(value: object) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"[1-9]\d{0,4}", str(value).strip()):
        raise ValueError("this is a whole number of hours, at least 1")
    return int(str(value))


def _flag(value: object) -> bool:
    words = {
        "true": True,
        "yes": True,
        "on": True,
        "1": True,
        "false": False,
        "no": False,
        "off": False,
        "0": False,
    }
    try:
        return words[str(value).strip().lower()]
    except KeyError:
        raise ValueError("this is true or false") from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("this is a text in quotes")
    return value


def _path(value: object) -> Path | None:
    text = str(value) if isinstance(value, Path) else _text(value)
    # Absolute: the processes of the jobs get the same settings, wherever they run.
    return Path(text).expanduser().absolute() if text else None


def _folder(value: object) -> Path:
    path = _path(value)
    if path is None:
        raise ValueError("this is a folder")
    return path


def _store(value: object) -> str:
    text = _text(value)
    return text if not text or "://" in text else str(_folder(text))


def _one_of(*words: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if str(value).lower() not in words:
            raise ValueError(f"this is one of {', '.join(words)}")
        return str(value).lower()

    return read


def _public_url(value: object) -> str:
    text = _text(value).rstrip("/")
    if text and not re.fullmatch(r"https?://[^\s/@?#]+(/[^\s@?#]*)?", text):
        raise ValueError("this is an address such as https://sterna.example.org")
    return text


def split_address(value: object) -> tuple[str, int]:
    """``HOST:PORT`` in two; IPv6 addresses in brackets. Raises ValueError."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([^\s:\[\]@/]+)):(\d{1,5})", str(value))
    if match is None or int(match[3]) > 65535:
        raise ValueError("an address is HOST:PORT, with an IPv6 address in brackets")
    return match[1] or match[2], int(match[3])


def _address(value: object) -> str:
    split_address(value)
    return str(value)


def _told(read: Callable[[object], object], text: str) -> Mapping[str, Any]:
    """What the table says of a setting: how its value is read, and what it means."""
    return {"read": read, "text": text}


@dataclass(frozen=True)
class Settings:
    """What the whole service was told. See each field's text, or ``sterna settings``."""

    data: Path = field(
        default=Path("sterna"),
        metadata=_told(_folder, "Folder that holds everything. Default: sterna in the user's data folder."),
    )
    listen: str = field(
        default="127.0.0.1:8480",
        metadata=_told(_address, "HOST:PORT where the APIs are served."),
    )
    store: str = field(
        default="",
        metadata=_told(
            _store,
            "What keeps jobs and users: PostgreSQL URL or SQLite file. Default: sterna.db in the data folder.",
        ),
    )
    key_file: Path | None = field(
        default=None,
        metadata=_told(_path, "Key that encrypts passwords at rest. Default: encryption.key in the data folder."),
    )
    public_url: str = field(
        default="",
        metadata=_told(_public_url, "Address under which clients reach the service. Default: as they call it."),
    )
    tls_cert: Path | None = field(
        default=None, metadata=_told(_path, "PEM file with the service's certificate and its chain.")
    )
    tls_key: Path | None = field(
        default=None, metadata=_told(_path, "PEM file with the private key of the certificate.")
    )
    insecure: bool = field(
        default=False,
        metadata=_told(_flag, "Listen beyond this machine without TLS: passwords and tokens travel in clear."),
    )
    body_limit: int = field(
        default=1 << 20, metadata=_told(_size, "Largest request body, in bytes or as 64K, 1MiB.")
    )
    clock_window: int = field(
        default=900, metadata=_told(_seconds, "How many seconds a signed request's clock may be off.")
    )
    token_hours: int = field(default=24, metadata=_told(_hours, "How many hours a token is valid."))
    spool_limit: int = field(
        default=0,
        metadata=_told(_size, "What a job may keep on this machine's disk, in bytes or as 20G; 0: no limit."),
    )
    metrics_token_file: Path | None = field(
        default=None,
        metadata=_told(
            _path, "File with the token that /metrics asks for. Default: /metrics answers this machine alone."
        ),
    )
    stop_wait: int = field(
        default=10, metadata=_told(_seconds, "How many seconds requests have to end when the service is stopped.")
    )
    log_level: str = field(
        default="info",
        metadata=_told(_one_of("debug", "info", "warning", "error"), "debug, info, warning or error."),
    )
    log_format: str = field(
        default="json",
        metadata=_told(_one_of("json", "text"), "json: one object a line; text: for people."),
    )

    @property
    def store_url(self) -> str:
        return self.store or str(self.data / "sterna.db")

    @property
    def key_path(self) -> Path:
        return self.key_file or self.data / "encryption.key"

    def environment(self) -> dict[str, str]:
        """The same settings as variables of the environment, for a child process. No variable: the default."""
        pairs = {
            PREFIX + each.name.upper(): words_of(getattr(self, each.name)) for each in dataclasses.fields(self)
        }
        return {name: text for name, text in pairs.items() if text}

    @property
    def address(self) -> tuple[str, int]:
        return split_address(self.listen)


@dataclass(frozen=True)
class Setting:
    """One setting as found: its value and where that came from."""

    name: str
    env: str
    value: Any
    origin: str
    text: str
    default: Any

    @property
    def shown(self) -> str:
        """The value as it may be shown: without a password."""
        return without_userinfo(words_of(self.value))


@dataclass(frozen=True)
class Loaded:
    """All settings, and where each came from."""

    settings: Settings
    table: tuple[Setting, ...]


def load(given: Mapping[str, object], environ: Mapping[str, str]) -> Loaded:
    """Put the settings together.

    ``given``: from the command line, by name; None is "not given"; ``config`` names the TOML file.
    The file is ``config``, else STERNA_CONFIG, else ``sterna.toml`` in the data folder if there is one.
    Raises Invalid, naming the setting and where it came from.
    """
    config = given.get("config") or environ.get(PREFIX + "CONFIG") or None
    fallback = default_data(environ)
    if config is not None:
        file = _read_file(Path(str(config)), must_exist=True)
    else:
        folder = _pick("data", given, environ, {}, fallback)
        file = _read_file(Path(folder.value) / FILE_NAME, must_exist=False)
    table = tuple(_pick(each.name, given, environ, file, fallback) for each in dataclasses.fields(Settings))
    settings = Settings(**{each.name: each.value for each in table})
    _agree(settings)
    return Loaded(settings, table)


def default_data(environ: Mapping[str, str]) -> Path:
    """The data folder where none is named: ``sterna`` in the user's data folder (XDG base directories)."""
    return _xdg(environ, "XDG_DATA_HOME", ".local/share") / "sterna"


def default_state(environ: Mapping[str, str]) -> Path:
    """Where ``sterna migrate`` remembers its migrations: ``sterna/migrate`` in the user's state folder (XDG)."""
    return _xdg(environ, "XDG_STATE_HOME", ".local/state") / "sterna" / "migrate"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a service that listens there."""
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


def refuse_open_door(settings: Settings) -> None:
    """Raises Invalid where passwords would travel in clear between machines and nobody asked for that."""
    host, _ = settings.address
    if not is_loopback(host) and not settings.tls_cert and not settings.insecure:
        raise Invalid(
            "listen",
            f"Not listening on {settings.listen}: it is open to other machines and there is no TLS",
            hint="Give --tls-cert and --tls-key, listen on 127.0.0.1, or say --insecure if you mean it.",
        )


def without_userinfo(text: str) -> str:
    """The text with ``user:password@`` in any URL replaced by ``***@``."""
    return re.sub(r"\b([A-Za-z][A-Za-z0-9+.-]*://)[^\s\"'<>]*@", r"\1***@", text)


def words_of(value: object) -> str:
    """A setting's value as it would be written in the environment."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _xdg(environ: Mapping[str, str], name: str, fallback: str) -> Path:
    # The standard says that a relative path there is to be ignored.
    given = environ.get(name, "")
    return Path(given) if Path(given).is_absolute() else Path(environ.get("HOME") or Path.home()) / fallback


def _read_file(path: Path, *, must_exist: bool) -> dict[str, tuple[object, str]]:
    """What a TOML file says: value and origin by name. Relative paths in it start at its folder."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if must_exist:
            raise Invalid("config", f"There is no file {path}") from None
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Invalid("config", f"{path} cannot be read: {error}") from error
    names = {each.name: each for each in dataclasses.fields(Settings)}
    for name in content:
        if name not in names:
            known = ", ".join(sorted(names))
            raise Invalid("config", f"{path}: there is no setting {name}", hint=f"There are: {known}.")
    return {name: (_from_folder(names[name], value, path.parent), str(path)) for name, value in content.items()}


def _from_folder(setting: "dataclasses.Field[Any]", value: object, folder: Path) -> object:
    if setting.metadata["read"] not in (_path, _folder, _store) or not isinstance(value, str):
        return value
    return value if not value or "://" in value else str(folder / Path(value).expanduser())


def _pick(
    name: str,
    given: Mapping[str, object],
    environ: Mapping[str, str],
    file: Mapping[str, tuple[object, str]],
    fallback: Path,
) -> Setting:
    described = next(each for each in dataclasses.fields(Settings) if each.name == name)
    env = PREFIX + name.upper()
    option = "--" + name.replace("_", "-")
    default = fallback if name == "data" else described.default
    if given.get(name) is not None:
        raw, origin, where = given[name], "command line", option
    elif environ.get(env):
        raw, origin, where = environ[env], "environment", env
    elif name in file:
        raw, origin = file[name]
        where = f"{name} in {origin}"
    else:
        return Setting(name, env, default, "default", described.metadata["text"], default)
    try:
        value = described.metadata["read"](raw)
    except ValueError as error:
        raise Invalid(name, f"{where}: {error}") from None
    return Setting(name, env, value, origin, described.metadata["text"], default)


def _agree(settings: Settings) -> None:
    """Raises Invalid where two settings do not fit each other."""
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise Invalid(
            "tls_cert", "TLS needs both a certificate and its key", hint="Give --tls-cert and --tls-key."
        )
