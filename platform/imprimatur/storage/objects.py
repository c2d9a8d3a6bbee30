"""A layout on object storage, through fsspec: S3, Google Cloud Storage, Azure, or whatever else it speaks to.

An object appears whole or not at all, but there are no renames and no locks. So each manifest is entered by an object
of its own below ``entries/``, which two writers can't lose for each other; ``index.json``, which OCI tools read, is
drawn from them after each change. Nothing keeps a collection and a sealing apart but the age that garbage must have.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import fsspec

from imprimatur.core.digests import Digest, digest_of_json
from imprimatur.core.errors import BadInput
from imprimatur.storage.blobs import Blobs, Listed, Stored, name_of, no_such_blob, writing
from imprimatur.storage.collection import SAFE_AGE
from imprimatur.storage.index import INDEX, Entry, Index
from imprimatur.storage.layout import LAYOUT, index_bytes

_BLOBS = "blobs/sha256"
_ENTRIES = "entries"
_LOCAL = ("file:", "local:")
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")


class ObjectPlace:
    """A prefix on object storage, as ``s3://bucket/sealed``.

    Raises BadInput ``bad-object-storage`` for a folder, whose files do not appear whole when they are written this way.
    """

    def __init__(self, address: str) -> None:
        if "://" not in address or address.startswith(_LOCAL):
            raise BadInput(
                "bad-object-storage",
                f"{address!r} is no object storage (expected an address such as s3://bucket/sealed); for a folder, set "
                "IMPRIMATUR_HOME and leave IMPRIMATUR_SEALED_OBJECTS empty",
            )
        files, prefix = fsspec.core.url_to_fs(address)
        self.files: Any = files
        self._prefix = prefix.rstrip("/")

    def key(self, name: str) -> str:
        """The whole name of an object."""
        return f"{self._prefix}/{name}"

    def put(self, name: str, data: bytes) -> None:
        """Write an object, in place of what was there."""
        with writing():
            self.files.pipe_file(self.key(name), data)

    def listed(self, folder: str) -> dict[str, dict[str, Any]]:
        """What is known of each object below ``folder``, by its last name."""
        self.files.invalidate_cache()
        try:
            found = self.files.ls(self.key(folder), detail=True)
        except FileNotFoundError:
            return {}
        return {info["name"].rpartition("/")[2]: info for info in found if info["type"] == "file"}


class ObjectBlobs(Blobs):
    """Blobs as objects. A file is read twice here: once when it is staged, once when it is sent."""

    def __init__(self, place: ObjectPlace, incoming: Path) -> None:
        super().__init__(incoming)
        self._place = place

    def has(self, digest: Digest) -> bool:
        """Whether the blob is there."""
        key = self._key(digest)
        self._place.files.invalidate_cache(key)
        return bool(self._place.files.isfile(key))

    def adopt(self, file: Path, digest: Digest) -> None:
        """Send a finished local file; what is there already is sent anew once it could be taken for garbage soon."""
        with writing():
            stored = self._stored(digest)
            if stored is None or time.time() - stored.touched_at > SAFE_AGE.total_seconds() / 2:
                self._place.files.put_file(str(file), self._key(digest))
            file.unlink()

    def open(self, digest: Digest) -> BinaryIO:
        """The blob for reading."""
        try:
            stream: BinaryIO = self._place.files.open(self._key(digest), "rb")
        except FileNotFoundError as error:
            raise no_such_blob(digest) from error
        return stream

    def all(self) -> Listed:
        """Every blob that is there."""
        return Listed.of({name: _stored(info) for name, info in self._place.listed(_BLOBS).items()})

    def remove(self, digest: Digest) -> None:
        """Take the blob away."""
        if self.has(digest):
            self._place.files.rm_file(self._key(digest))

    def _stored(self, digest: Digest) -> Stored | None:
        key = self._key(digest)
        self._place.files.invalidate_cache(key)
        try:
            return _stored(self._place.files.info(key))
        except FileNotFoundError:
            return None

    def _key(self, digest: Digest) -> str:
        return self._place.key(f"{_BLOBS}/{name_of(digest)}")


class ObjectIndex(Index):
    """One object for each descriptor, named by when it was entered, and ``index.json`` drawn from them."""

    def __init__(self, place: ObjectPlace) -> None:
        self._place = place
        self._known: dict[str, Entry] = {}  # an entry's object never changes

    def prepare(self) -> None:
        """Write the layout's own file and an empty index where they are missing; who only reads writes nothing."""
        if not self._place.files.exists(self._place.key("oci-layout")):
            self._place.put("oci-layout", LAYOUT)
        if not self._place.files.exists(self._place.key(INDEX)):
            self._draw()

    def entries(self) -> list[Entry]:
        """Every descriptor; one that two writers entered at once stands there once."""
        unique: dict[Digest, Entry] = {}
        for entry in self._read().values():
            unique.setdefault(digest_of_json(entry), entry)
        return list(unique.values())

    def add(self, descriptor: Entry) -> None:
        """Enter a descriptor, once."""
        if descriptor not in self._read().values():
            data = json.dumps(descriptor, sort_keys=True).encode()
            self._place.put(f"{_ENTRIES}/{time.time_ns():020d}-{uuid.uuid4().hex}.json", data)
        self._draw()

    def keep(self, wanted: Callable[[Entry], bool]) -> None:
        """Drop every descriptor that is not ``wanted``."""
        for name, entry in self._read().items():
            if not wanted(entry):
                self._place.files.rm_file(self._place.key(f"{_ENTRIES}/{name}"))
        self._draw()

    def _read(self) -> dict[str, Entry]:
        names = sorted(self._place.listed(_ENTRIES))
        for name in names:
            if name not in self._known:
                self._known[name] = json.loads(self._place.files.cat_file(self._place.key(f"{_ENTRIES}/{name}")))
        return {name: self._known[name] for name in names}

    def _draw(self) -> None:
        self._place.put(INDEX, index_bytes(self.entries()))


def _stored(info: dict[str, Any]) -> Stored:
    moment = next((info[name] for name in _TIMES if info.get(name) is not None), 0.0)
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return Stored(int(info["size"] or 0), moment.timestamp() if isinstance(moment, datetime) else float(moment))
