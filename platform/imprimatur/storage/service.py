"""The sealed store: folders as manifests over write-once blobs, in an OCI image layout on disk or object storage."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from imprimatur.core.digests import Digest, digest_of_bytes
from imprimatur.core.errors import BadInput, NotFound, Tampered
from imprimatur.storage.blobs import Blobs, DiskBlobs, no_such_blob, writing
from imprimatur.storage.collection import COLLECTING, SAFE_AGE, Garbage, collecting, older, storing
from imprimatur.storage.index import LOCK, DiskIndex, Index
from imprimatur.storage.layout import (
    EMPTY_CONFIG,
    REF_NAME,
    SUBJECT,
    attachment_blob,
    attachment_bytes,
    manifest_bytes,
    manifest_descriptor,
    parse_manifest,
    subject_of,
)
from imprimatur.storage.model import Manifest, SealedFile
from imprimatur.storage.objects import ObjectBlobs, ObjectIndex, ObjectPlace
from imprimatur.storage.staging import Staging, staged, sweep


class SealedStore:
    """Write-once bytes below ``root``, or on object storage at the address ``objects`` (``s3://bucket/sealed``), with
    ``root`` for what is unfinished. Any number of processes may use one store at the same time.

    A blob appears whole after its bytes are on the disk, and a manifest after its blobs; so a crash at any moment
    leaves nothing half sealed, only unfinished files that the next sealing sweeps away.
    """

    def __init__(self, root: Path, *, objects: str = "", read_only: bool = False) -> None:
        self.root = root
        self._incoming = root / ".incoming"
        self._staging = root / ".staging"
        self._blobs: Blobs
        self._index: Index
        if objects:
            place = ObjectPlace(objects)
            self._blobs, self._index = ObjectBlobs(place, self._incoming), ObjectIndex(place)
        else:
            blobs = root / "blobs" / "sha256"
            self._blobs, self._index = DiskBlobs(blobs, self._incoming), DiskIndex(root, self._incoming)
        if not read_only:
            self._prepare(() if objects else (root / "blobs" / "sha256",))

    def put_blob(self, data: bytes) -> Digest:
        """Store ``data`` once, and return its digest."""
        with storing(self.root):
            return self._blobs.add(data)

    def put_blob_file(self, path: Path) -> Digest:
        """Store the file's bytes once, read in chunks, and return their digest."""
        with storing(self.root):
            return self._blobs.add_file(path)

    def read_blob(self, digest: Digest) -> bytes:
        """The bytes of ``digest``, verified. Raises NotFound ``no-such-blob`` or Tampered ``blob-changed``."""
        return self._blobs.read(digest)

    def blob_path(self, digest: Digest) -> Path:
        """Where the blob is on local disk; not verified. Raises NotFound ``no-such-blob``."""
        if not isinstance(self._blobs, DiskBlobs) or not self._blobs.has(digest):
            raise no_such_blob(digest)
        return self._blobs.path(digest)

    def stream(self, digest: Digest) -> Iterator[bytes]:
        """The blob's bytes in chunks, the last of them only once all are found to be what was sealed.

        Raises NotFound ``no-such-blob`` at once, Tampered ``blob-changed`` in place of the last chunk.
        """
        return self._blobs.chunks(digest)

    @contextmanager
    def stage(self, folder: Path) -> Iterator[Staging]:
        """A private copy of ``folder`` on the store's disk, to be checked and then sealed with ``seal``."""
        sweep(self._staging)
        with staged(folder, self._staging) as staging:
            yield staging

    def seal(self, staging: Staging, *, artifact_type: str) -> Manifest:
        """Move the staged files into the store, and return the manifest over them."""
        with writing(), storing(self.root):
            for file in staging.files:
                self._blobs.adopt(staging.path(file), file.digest)
            return self._enter(artifact_type, staging.files)

    def seal_folder(self, folder: Path, *, artifact_type: str) -> Manifest:
        """Seal the files of ``folder`` as they are read now. The same bytes give the same manifest."""
        with self.stage(folder) as staging:
            return self.seal(staging, artifact_type=artifact_type)

    def manifest(self, digest: Digest) -> Manifest:
        """The manifest ``digest``, verified. Raises NotFound ``no-such-blob``, Tampered ``blob-changed``."""
        return parse_manifest(digest, self._blobs.read(digest))

    def manifests(self) -> list[Digest]:
        """Digests of all sealed folders, in the order of sealing."""
        return [entry["digest"] for entry in self._index.entries() if subject_of(entry) is None]

    def others(self, digest: Digest) -> tuple[Digest, ...]:
        """What the index leads to but the manifest ``digest`` and what is attached to it, which no tag may name.

        Raises Tampered ``bad-index`` where the index can't be read.
        """
        attached = {SUBJECT: digest}
        try:
            return tuple(
                str(entry["digest"])
                for entry in self._index.entries()
                if entry["digest"] != digest and entry.get("annotations") != attached
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise Tampered(
                "bad-index",
                f"The index of {self.root.name!r} can't be read ({type(error).__name__}: {error}; expected index.json "
                "of an OCI image layout)",
            ) from error

    def attach(self, subject: Digest, artifact_type: str, data: bytes) -> None:
        """Store ``data`` as something that is said of the sealed folder ``subject``, such as its signature.

        Raises NotFound ``no-such-blob`` where nothing of that digest is sealed here.
        """
        entry = next(
            (one for one in self._index.entries() if one["digest"] == subject and subject_of(one) is None), None
        )
        if entry is None:
            raise NotFound("no-such-blob", f"The sealed store holds no manifest {subject}")
        with writing(), storing(self.root):
            blob = self._blobs.add(data)
            manifest = attachment_bytes(entry, artifact_type, blob, len(data))
            digest = self._blobs.add(manifest)
            self._index.add(manifest_descriptor(digest, len(manifest), artifact_type, **{SUBJECT: subject}))

    def attached(self, subject: Digest, artifact_type: str) -> tuple[bytes, ...]:
        """Everything of that type that is attached to a sealed folder, verified, in the order of attaching."""
        found = [
            entry["digest"]
            for entry in self._index.entries()
            if subject_of(entry) == subject and entry["artifactType"] == artifact_type
        ]
        return tuple(self._blobs.read(attachment_blob(digest, self._blobs.read(digest))) for digest in found)

    def verify(self, digest: Digest) -> tuple[str, ...]:
        """Paths whose stored bytes are missing or not those that were sealed; empty where all is well."""
        return tuple(file.path for file in self.manifest(digest).files if not self._intact(file))

    def materialise(self, digest: Digest, target: Path) -> Path:
        """A verified copy of the sealed folder at ``target``, which must be new or empty; all of it or nothing.

        Raises Tampered ``file-changed``, naming the first file that differs, BadInput ``folder-not-empty``.
        """
        manifest = self.manifest(digest)
        if target.exists() and any(target.iterdir()):
            raise BadInput("folder-not-empty", f"{target.name!r} has files in it (expected a new or empty folder)")
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.parent / f".{target.name}.{uuid.uuid4().hex}"
        unfinished.mkdir()
        try:
            for file in manifest.files:
                self._copy_out(file, unfinished / file.path)
            unfinished.rename(target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return target

    def export(self, digest: Digest, target: Path, *, tag: str = "sealed") -> Path:
        """An OCI image layout at ``target`` with this one manifest, what is attached to it, and the blobs of both.

        Every file is verified while it is copied. OCI tools know the manifest as ``tag``.
        """
        manifest = self.manifest(digest)
        if target.exists() and any(target.iterdir()):
            raise BadInput("folder-not-empty", f"{target.name!r} has files in it (expected a new or empty folder)")
        exported = SealedStore(target)
        for file in manifest.files:
            exported._take(self._blobs, file)
        exported.enter(manifest.artifact_type, manifest.files, tag=tag)
        for entry in self._index.entries():
            if subject_of(entry) == digest:
                blob = attachment_blob(entry["digest"], self._blobs.read(entry["digest"]))
                exported.attach(digest, entry["artifactType"], self._blobs.read(blob))
        exported.tidy()
        return target

    def enter(self, artifact_type: str, files: tuple[SealedFile, ...], *, tag: str | None = None) -> Manifest:
        """Enter the manifest over ``files``, whose blobs are here already, under the name ``tag`` for OCI tools.

        Raises NotFound ``no-such-blob``.
        """
        with writing(), storing(self.root):
            return self._enter(artifact_type, files, **({REF_NAME: tag} if tag else {}))

    def collect(
        self, referred: Collection[Digest], *, age: timedelta = SAFE_AGE, now: float | None = None, remove: bool = True
    ) -> Garbage:
        """Find, and remove unless told not to, what none of the manifests and blobs in ``referred`` needs.

        What was written or wanted within ``age`` stays. The index is written before a blob goes, so that a crash at any
        moment leaves no manifest without its blobs.
        """
        now = time.time() if now is None else now
        with writing(), collecting(self.root):
            listed = self._blobs.all()
            blobs = listed.blobs
            limit = now - age.total_seconds()
            old = {digest for digest, stored in blobs.items() if stored.touched_at < limit}
            entries = self._index.entries()
            lost = tuple(digest for digest in self.manifests() if digest in old and digest not in referred)
            needed = set(referred) | {digest_of_bytes(EMPTY_CONFIG)}
            for entry in entries:
                if (subject_of(entry) or entry["digest"]) not in lost:
                    needed |= self._needed_by(entry)
            unneeded = tuple(sorted(old - needed))
            leftovers = older(list(self._incoming.iterdir()), now, age)
            size = sum(blobs[digest].size for digest in unneeded) + sum(path.stat().st_size for path in leftovers)
            garbage = Garbage(lost, unneeded, len(leftovers), listed.strays, size)
            if remove:
                self._remove(garbage, leftovers)
        return garbage

    def _needed_by(self, entry: Mapping[str, Any]) -> set[Digest]:
        digest: Digest = entry["digest"]
        if subject_of(entry) is not None:
            return {digest, attachment_blob(digest, self._blobs.read(digest))}
        return {digest, *(file.digest for file in self.manifest(digest).files)}

    def _remove(self, garbage: Garbage, leftovers: Iterable[Path]) -> None:
        if garbage.manifests:
            self._index.keep(lambda entry: (subject_of(entry) or entry["digest"]) not in garbage.manifests)
        for digest in garbage.blobs:
            self._blobs.remove(digest)
        for file in leftovers:
            file.unlink(missing_ok=True)
        sweep(self._staging)

    def _enter(self, artifact_type: str, files: tuple[SealedFile, ...], **annotations: str) -> Manifest:
        for file in files:
            if not self._blobs.has(file.digest):
                raise no_such_blob(file.digest)
        data = manifest_bytes(artifact_type, files)
        self._blobs.add(EMPTY_CONFIG)
        digest = self._blobs.add(data)
        self._index.add(manifest_descriptor(digest, len(data), artifact_type, **annotations))
        return parse_manifest(digest, data)

    def tidy(self) -> None:
        """Remove the empty folders for unfinished files, so that only the layout stands there."""
        for folder in (self._incoming, self._staging):
            folder.rmdir()
        for lock in (LOCK, COLLECTING):
            (self.root / lock).unlink(missing_ok=True)

    def _prepare(self, folders: Iterable[Path]) -> None:
        with writing():
            for folder in (*folders, self._incoming, self._staging):
                folder.mkdir(parents=True, exist_ok=True)
            self._index.prepare()

    def _take(self, source: Blobs, file: SealedFile) -> None:
        """Store a file of another store's, verified."""
        with source.open(file.digest) as stream, storing(self.root):
            if self._blobs.add_stream(stream) != file.digest:
                raise _changed(file)

    def _intact(self, file: SealedFile) -> bool:
        found = self._blobs.digest(file.digest)
        return found is not None and (found.digest, found.size) == (file.digest, file.size)

    def _copy_out(self, file: SealedFile, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            copied = self._blobs.copy_to(file.digest, target)
        except NotFound as error:
            raise Tampered("file-changed", f"{file.path!r} is missing from the sealed store", file=file.path) from error
        if (copied.digest, copied.size) != (file.digest, file.size):
            raise _changed(file)


def _changed(file: SealedFile) -> Tampered:
    return Tampered(
        "file-changed",
        f"{file.path!r} is not what was sealed (expected {file.digest}); it may not be used",
        file=file.path,
    )
