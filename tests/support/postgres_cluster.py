"""A PostgreSQL cluster of the tests' own: made in a temporary folder, thrown away afterwards."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine, make_url, text

_PACKAGED = "/usr/lib/postgresql"
_OWNERS = ("postgres", "nobody")
_UNSAFE_BUT_FAST = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
_ATTEMPTS = 5


class NoPostgres(Exception):
    """There is no PostgreSQL on this machine, or nobody that it could run as."""


@contextmanager
def cluster() -> Iterator[str]:
    """The address of a running cluster's first database. Raises NoPostgres where there can't be one."""
    programs = _programs()
    owner = _owner()
    folder = Path(tempfile.mkdtemp(prefix="imprimatur-pg-"))
    try:
        if owner:
            shutil.chown(folder, owner)
        data = folder / "data"
        _run(owner, programs / "initdb", "-D", data, "-U", "imprimatur", "-A", "trust", "-E", "UTF8", "--no-sync")
        port = _start(owner, programs, data, folder)
        try:
            yield f"postgresql+psycopg://imprimatur@127.0.0.1:{port}/postgres"
        finally:
            _run(owner, programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_database(server: str, name: str, *, template: str = "template1", keep: bool = False) -> Iterator[str]:
    """The address of a new database on ``server``, dropped when the block ends unless it is to be kept."""
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} TEMPLATE {template}"))
            yield make_url(server).set(database=name).render_as_string(hide_password=False)
            if not keep:
                connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        engine.dispose()


def database_name(test: str) -> str:
    """A name for one test's database."""
    return "test_" + hashlib.sha256(test.encode()).hexdigest()[:20]


def _start(owner: str | None, programs: Path, data: Path, folder: Path) -> int:
    for attempt in range(_ATTEMPTS):
        port = _free_port()
        options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder} {_UNSAFE_BUT_FAST}"
        try:
            _run(owner, programs / "pg_ctl", "-D", data, "-o", options, "-l", folder / "log", "-w", "start")
        except subprocess.CalledProcessError:
            if attempt == _ATTEMPTS - 1:  # somebody took the port each time, or it can't start at all
                raise
        else:
            return port
    raise AssertionError("the last attempt raises")


def _programs() -> Path:
    """The folder of PostgreSQL's programs: the newest packaged version's, else the one on the path."""
    packaged = sorted(Path(_PACKAGED).glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = packaged[-1] if packaged else shutil.which("initdb")
    if found is None:
        raise NoPostgres("PostgreSQL is not installed (no initdb found)")
    return Path(found).resolve().parent


def _owner() -> str | None:
    """Whom the cluster runs as: PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    found = [name for name in _OWNERS if name in known]
    if not found or shutil.which("runuser") is None:
        raise NoPostgres("PostgreSQL does not run as root, and there is nobody else to run it as")
    return found[0]


def _run(owner: str | None, *command: str | Path) -> None:
    become = ["runuser", "-u", owner, "--"] if owner else []
    subprocess.run(
        [*become, *map(str, command)],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
