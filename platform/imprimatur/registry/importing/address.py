"""Where an import reads from, and the name that it remembers the source by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from imprimatur.core.errors import BadInput

_PORTS = {"http": 80, "https": 443}
_PLAIN_ADDRESS = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?(?:/.*)?", re.DOTALL)
_READ_ONLY = "-c default_transaction_read_only=on"


@dataclass(frozen=True)
class Address:
    """A tracking server or an MLflow database.

    ``uri`` is what MLflow's client takes, ``name`` the same without credentials and with one spelling only, ``file``
    the SQLite file where it is one, and ``login`` what the address itself says about who reads.
    """

    uri: str = field(repr=False)
    name: str
    file: Path | None = None
    login: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def is_server(self) -> bool:
        """Whether this is a tracking server, and no database."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def origin(self) -> str | None:
        """The server's scheme, host and port; None for a database."""
        return origin_of(self.uri)

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address in ``text``. Raises BadInput ``bad-import-source`` for what is neither."""
        scheme = text.partition(":")[0].lower()
        if scheme in _PORTS:
            return _server(urlsplit(text), text)
        if scheme == "sqlite":
            return _sqlite(text)
        if scheme == "postgresql" or scheme.startswith("postgresql+"):
            return _postgres(text)
        raise _bad(text)


def origin_of(uri: str) -> str | None:
    """Scheme, host and port of an http or https address that everybody reads alike; None for any other text.

    >>> origin_of("HTTPS://Old.example/mlflow"), origin_of("http://old:5000@evil.example/")
    ('https://old.example:443', None)
    """
    match = _PLAIN_ADDRESS.fullmatch(uri.lower())
    return f"{match[1]}://{match[2]}:{int(match[3] or _PORTS[match[1]])}" if match else None


def _server(parts: SplitResult, text: str) -> Address:
    try:
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _bad(text) from error
    if not host or parts.query or parts.fragment:
        raise _bad(text)
    place = f"[{host}]" if ":" in host else host
    if port is not None and port != _PORTS[parts.scheme]:
        place += f":{port}"
    name = f"{parts.scheme}://{place}{parts.path.rstrip('/')}"
    login = {
        "MLFLOW_TRACKING_USERNAME": unquote(parts.username or ""),
        "MLFLOW_TRACKING_PASSWORD": unquote(parts.password or ""),
    }
    return Address(name, name, login=login if parts.username else {})


def _sqlite(text: str) -> Address:
    file = make_url(text).database or ""
    if not Path(file).is_file():
        raise BadInput(
            "no-such-file", f"{text!r} names no file (expected sqlite:/// and the path of MLflow's database)"
        )
    path = Path(file).resolve()
    return Address(f"sqlite:///{path}", f"sqlite:///{path}", file=path)


def _postgres(text: str) -> Address:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:
        raise _bad("postgresql://…") from error
    options = " ".join([*_listed(url.query.get("options")), _READ_ONLY])
    reading = url.update_query_dict({"options": options})
    name = f"postgresql://{(url.host or 'localhost').lower()}:{url.port or 5432}/{url.database or ''}"
    return Address(reading.render_as_string(hide_password=False), name)


def _listed(options: str | tuple[str, ...] | None) -> tuple[str, ...]:
    if options is None:
        return ()
    return (options,) if isinstance(options, str) else options


def _bad(text: str) -> BadInput:
    return BadInput(
        "bad-import-source",
        f"{text.rpartition('@')[2]!r} is no MLflow to read from (expected the http or https address of a tracking "
        "server, sqlite:///FILE or postgresql+psycopg://...); for other databases name the server in front of them",
    )
