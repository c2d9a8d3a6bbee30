"""A private copy of a folder, hashed while it is made: what is checked is what is sealed."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from imprimatur.core.errors import BadInput, Refused
from imprimatur.storage.blobs import copy, settle, writing
from imprimatur.storage.model import SealedFile, check_paths

_FILE_LIMIT = 10_000


@dataclass(frozen=True)
class Staging:
    """The private copy: ``folder`` has the same tree as the source, ``files`` what was read."""

    folder: Path
    files: tuple[SealedFile, ...]

    def path(self, file: SealedFile) -> Path:
        """Where the copy of ``file`` is."""
        return self.folder / file.path


@contextmanager
def staged(source: Path, area: Path) -> Iterator[Staging]:
    """A private copy of ``source`` below ``area``, removed when the block ends.

    Links, FIFOs, devices and odd paths are refused before anything is read: Refused ``not-a-file``, ``bad-path``,
    ``path-collision``, ``too-many-files``, ``empty-folder``, ``file-changed``.
    """
    if not source.is_dir() or source.is_symlink():
        raise BadInput("no-such-folder", f"{source.name!r} is no folder (expected a folder of files)")
    check_paths(_listing(source))
    place = area / uuid.uuid4().hex
    with _lock_of(place).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # before the folder is there, so that nobody sweeps it away
        try:
            with writing():
                place.mkdir()
            yield Staging(place, tuple(_copy_tree(source, place)))
        finally:
            shutil.rmtree(place, ignore_errors=True)
            _lock_of(place).unlink()


def sweep(area: Path) -> None:
    """Remove copies whose process died. Living ones hold their lock."""
    for place in area.iterdir():
        if place.is_dir() and _abandoned(_lock_of(place)):
            shutil.rmtree(place, ignore_errors=True)
            _lock_of(place).unlink(missing_ok=True)


def _lock_of(place: Path) -> Path:
    return place.with_suffix(".lock")


def _abandoned(lock: Path) -> bool:
    try:
        with lock.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except OSError:  # held by a living process, or swept by another one just now
        return False


def _listing(source: Path) -> list[str]:
    found: list[str] = []
    for root, folders, files, _ in os.fwalk(source, onerror=_raise):
        relative = Path(root).relative_to(source)
        for name in folders:
            _require((relative / name).as_posix(), os.lstat(os.path.join(root, name)).st_mode, folder=True)
        for name in files:
            path = (relative / name).as_posix()
            _require(path, os.lstat(os.path.join(root, name)).st_mode, folder=False)
            found.append(path)
        if len(found) > _FILE_LIMIT:
            raise Refused("too-many-files", f"Found more than {_FILE_LIMIT} files (expected a model's folder)")
    if not found:
        raise Refused("empty-folder", f"{source.name!r} holds no file (expected a model's files)")
    return found


def _copy_tree(source: Path, target: Path) -> Iterator[SealedFile]:
    for root, folders, files, descriptor in os.fwalk(source, onerror=_raise):
        relative = Path(root).relative_to(source)
        folders.sort()
        with writing():
            (target / relative).mkdir(exist_ok=True)
        for name in sorted(files):
            path = relative / name
            yield _copy_file(descriptor, name, path.as_posix(), target / path)


def _copy_file(folder: int, name: str, path: str, target: Path) -> SealedFile:
    try:
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as error:
        raise _changed(path) from error
    with os.fdopen(opened, "rb") as stream:
        status = os.fstat(stream.fileno())
        _require(path, status.st_mode, folder=False)
        with writing(), target.open("xb") as output:
            copied = copy(stream, output.write)
            settle(output)
    if copied.size != status.st_size:
        raise _changed(path)
    return SealedFile(path, copied.size, copied.digest)


def _require(path: str, mode: int, *, folder: bool) -> None:
    if not (stat.S_ISDIR(mode) if folder else stat.S_ISREG(mode)):
        raise Refused(
            "not-a-file",
            f"{path!r} is a link, a FIFO, a socket or a device (expected plain files and folders only)",
            file=path,
        )


def _changed(path: str) -> Refused:
    return Refused("file-changed", f"{path!r} changed while it was read; try again when nobody writes to it", file=path)


def _raise(error: OSError) -> None:
    raise Refused("unreadable-folder", f"A folder can't be read: {error.strerror}") from error
