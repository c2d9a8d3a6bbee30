"""Blobs on local disk: written once, named by their SHA-256, there whole or not at all."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from imprimatur.core.digests import Digest, digest_of_bytes, is_digest
from imprimatur.core.errors import BadInput, Fault, NotFound, Tampered
from imprimatur.core.files import sync_folder

_CHUNK = 1 << 20
_READ_ONLY = 0o444


@dataclass(frozen=True)
class Copied:
    """What was read while copying: its digest and its length."""

    digest: Digest
    size: int


class Blobs:
    """The ``blobs/sha256`` folder of a layout, and the folder beside it where unfinished files live."""

    def __init__(self, folder: Path, incoming: Path) -> None:
        self._folder = folder
        self._incoming = incoming

    def path(self, digest: Digest) -> Path:
        """Where the blob is, or would be. Raises BadInput ``bad-digest`` for what is no digest."""
        if not is_digest(digest):
            raise BadInput("bad-digest", f"{digest!r} is no digest (expected sha256: and 64 hexadecimal digits)")
        return self._folder / digest.removeprefix("sha256:")

    def add(self, data: bytes) -> Digest:
        """Store ``data``; a blob that is there already stays as it is."""
        digest = digest_of_bytes(data)
        with self._unfinished() as (stream, temporary):
            stream.write(data)
            settle(stream)
            self.adopt(temporary, digest)
        return digest

    def add_file(self, source: Path) -> Digest:
        """Store the file's bytes, read once."""
        with source.open("rb") as stream, self._unfinished() as (target, temporary):
            copied = copy(stream, target.write)
            settle(target)
            self.adopt(temporary, copied.digest)
        return copied.digest

    def adopt(self, file: Path, digest: Digest) -> None:
        """Move a finished file, already on the disk of the store and synced, to its place as ``digest``."""
        target = self.path(digest)
        if target.exists():
            os.utime(target)  # wanted again: too young to be collected, whatever refers to it so far
            return
        file.chmod(_READ_ONLY)
        file.rename(target)
        sync_folder(self._folder)

    def all(self) -> dict[Digest, Path]:
        """Every blob that is there, by the digest that it is named by."""
        return {f"sha256:{path.name}": path for path in self._folder.iterdir()}

    def remove(self, digest: Digest) -> None:
        """Take the blob away."""
        self.path(digest).unlink(missing_ok=True)

    def read(self, digest: Digest) -> bytes:
        """The blob's bytes, verified. Raises NotFound ``no-such-blob`` or Tampered ``blob-changed``."""
        with self._open(digest) as stream:
            data = stream.read()
        if digest_of_bytes(data) != digest:
            raise Tampered("blob-changed", f"The stored bytes of {digest} have digest {digest_of_bytes(data)}")
        return data

    def copy_to(self, digest: Digest, target: Path) -> Copied:
        """Copy the blob to the new file ``target`` and return what was found while reading it."""
        with self._open(digest) as stream, target.open("xb") as output:
            return copy(stream, output.write)

    def digest(self, digest: Digest) -> Copied | None:
        """What the stored bytes really are; None where there are none."""
        try:
            with self._open(digest) as stream:
                return copy(stream, len)
        except NotFound:
            return None

    def _open(self, digest: Digest) -> BinaryIO:
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError as error:
            raise NotFound("no-such-blob", f"The sealed store holds no {digest}") from error

    @contextmanager
    def _unfinished(self) -> Iterator[tuple[BinaryIO, Path]]:
        path = self._incoming / uuid.uuid4().hex
        with writing():
            try:
                with path.open("xb") as stream:
                    yield stream, path
            finally:
                path.unlink(missing_ok=True)


def copy(source: BinaryIO, write: Callable[[bytes], object]) -> Copied:
    """Pass everything in ``source`` to ``write`` in chunks of 1 MiB."""
    running, size = hashlib.sha256(), 0
    while chunk := source.read(_CHUNK):
        running.update(chunk)
        write(chunk)
        size += len(chunk)
    return Copied("sha256:" + running.hexdigest(), size)


def settle(stream: BinaryIO) -> None:
    """Put what was written to ``stream`` on the disk."""
    stream.flush()
    os.fsync(stream.fileno())


@contextmanager
def writing() -> Iterator[None]:
    """Turn a full or broken disk into Fault ``store-unwritable``."""
    try:
        yield
    except OSError as error:
        raise Fault("store-unwritable", f"The sealed store can't be written: {error.strerror or error}") from error
