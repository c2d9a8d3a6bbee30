"""Blobs: written once, named by their SHA-256, there whole or not at all. These are on local disk."""

from __future__ import annotations

import hashlib
import os
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
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


@dataclass(frozen=True)
class Stored:
    """A blob that is there: its length, and when it was last written or wanted, in seconds since 1970."""

    size: int
    touched_at: float


@dataclass(frozen=True)
class Listed:
    """Every blob that is there by its digest, and how many other things, which are not ours, lie among them."""

    blobs: dict[Digest, Stored]
    strays: int

    @classmethod
    def of(cls, named: Mapping[str, Stored]) -> Listed:
        """What is found under the names in the blobs' folder."""
        blobs = {f"sha256:{name}": stored for name, stored in named.items() if is_digest(f"sha256:{name}")}
        return cls(blobs, len(named) - len(blobs))


class Blobs(ABC):
    """Blobs by their digest, and a local folder where unfinished ones live."""

    def __init__(self, incoming: Path) -> None:
        self._incoming = incoming

    @abstractmethod
    def has(self, digest: Digest) -> bool:
        """Whether the blob is there. Raises BadInput ``bad-digest`` for what is no digest."""

    @abstractmethod
    def adopt(self, file: Path, digest: Digest) -> None:
        """Take a finished local file, on the disk and synced, in as ``digest``; what is there already is touched."""

    @abstractmethod
    def open(self, digest: Digest) -> BinaryIO:
        """The blob for reading, not verified. Raises NotFound ``no-such-blob``."""

    @abstractmethod
    def all(self) -> Listed:
        """Every blob that is there, by the digest that it is named by."""

    @abstractmethod
    def remove(self, digest: Digest) -> None:
        """Take the blob away."""

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
        with source.open("rb") as stream:
            return self.add_stream(stream)

    def add_stream(self, stream: BinaryIO) -> Digest:
        """Store what the stream holds, read once."""
        with self._unfinished() as (target, temporary):
            copied = copy(stream, target.write)
            settle(target)
            self.adopt(temporary, copied.digest)
        return copied.digest

    def read(self, digest: Digest) -> bytes:
        """The blob's bytes, verified. Raises NotFound ``no-such-blob`` or Tampered ``blob-changed``."""
        with self.open(digest) as stream:
            data = stream.read()
        if digest_of_bytes(data) != digest:
            raise Tampered("blob-changed", f"The stored bytes of {digest} have digest {digest_of_bytes(data)}")
        return data

    def chunks(self, digest: Digest) -> Iterator[bytes]:
        """The blob's bytes in chunks of 1 MiB, the last only once all are found to be what ``digest`` says.

        Raises NotFound ``no-such-blob`` at once, Tampered ``blob-changed`` in place of the last chunk.
        """
        return self._verified(digest, self.open(digest))

    def _verified(self, digest: Digest, stream: BinaryIO) -> Iterator[bytes]:
        running, held = hashlib.sha256(), b""
        with stream:
            while chunk := stream.read(_CHUNK):
                running.update(chunk)
                if held:
                    yield held
                held = chunk
        if f"sha256:{running.hexdigest()}" != digest:
            raise Tampered("blob-changed", f"The stored bytes of {digest} are others")
        yield held

    def copy_to(self, digest: Digest, target: Path) -> Copied:
        """Copy the blob to the new file ``target`` and return what was found while reading it."""
        with self.open(digest) as stream, target.open("xb") as output:
            return copy(stream, output.write)

    def digest(self, digest: Digest) -> Copied | None:
        """What the stored bytes really are; None where there are none."""
        try:
            with self.open(digest) as stream:
                return copy(stream, len)
        except NotFound:
            return None

    @contextmanager
    def _unfinished(self) -> Iterator[tuple[BinaryIO, Path]]:
        path = self._incoming / uuid.uuid4().hex
        with writing():
            try:
                with path.open("xb") as stream:
                    yield stream, path
            finally:
                path.unlink(missing_ok=True)


class DiskBlobs(Blobs):
    """The ``blobs/sha256`` folder of a layout on local disk: a blob appears by a rename, whole."""

    def __init__(self, folder: Path, incoming: Path) -> None:
        super().__init__(incoming)
        self._folder = folder

    def path(self, digest: Digest) -> Path:
        """Where the blob is, or would be. Raises BadInput ``bad-digest`` for what is no digest."""
        return self._folder / name_of(digest)

    def has(self, digest: Digest) -> bool:
        """Whether the blob is there."""
        return self.path(digest).is_file()

    def adopt(self, file: Path, digest: Digest) -> None:
        """Move a finished file, already on the disk of the store and synced, to its place as ``digest``."""
        target = self.path(digest)
        if target.exists():
            os.utime(target)  # wanted again: too young to be collected, whatever refers to it so far
            return
        file.chmod(_READ_ONLY)
        file.rename(target)
        sync_folder(self._folder)

    def open(self, digest: Digest) -> BinaryIO:
        """The blob for reading."""
        try:
            return self.path(digest).open("rb")
        except FileNotFoundError as error:
            raise no_such_blob(digest) from error

    def all(self) -> Listed:
        """Every blob that is there."""
        found = ((path.name, path.lstat()) for path in self._folder.iterdir())
        return Listed.of({name: Stored(status.st_size, status.st_mtime) for name, status in found})

    def remove(self, digest: Digest) -> None:
        """Take the blob away."""
        self.path(digest).unlink(missing_ok=True)


def name_of(digest: Digest) -> str:
    """The name of a blob in its folder. Raises BadInput ``bad-digest`` for what is no digest."""
    if not is_digest(digest):
        raise BadInput("bad-digest", f"{digest!r} is no digest (expected sha256: and 64 hexadecimal digits)")
    return digest.removeprefix("sha256:")


def no_such_blob(digest: Digest) -> NotFound:
    """The error for a blob that is not there."""
    return NotFound("no-such-blob", f"The sealed store holds no {digest}")


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
