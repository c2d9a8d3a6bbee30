"""The catalogue of weights: files by digest, each with architecture, configuration, licence and source.

The digest is of the file as it came, and is verified on every load, so that a file changed afterwards is refused by
name. No torch here, and no network: ``fetching`` brings files in.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

from imprimatur_evaluators.backbones.formats import Format, format_of
from imprimatur_evaluators.errors import BadWeights

_INDEX = "catalogue.json"
_CHUNK = 1 << 20


class DigestOrigin(StrEnum):
    """Who vouches for a digest."""

    PUBLISHED = "published"
    """The authors, or those who hand the weights out."""
    FIRST_FETCH = "first-fetch"
    """Nobody but us: it was recorded when the file first came from its source, and every later one must equal it."""
    IMPORT = "import"
    """Whoever brought the file."""


@dataclass(frozen=True)
class Entry:
    """One backbone's weights. ``digest`` is the file's SHA-256; ``identity`` covers the configuration as well."""

    name: str
    architecture: str
    digest: str
    licence: str
    source: str
    path: Path
    config: Mapping[str, Any]
    format: Format = Format.SAFETENSORS
    digest_origin: DigestOrigin = DigestOrigin.IMPORT

    @property
    def identity(self) -> str:
        """The SHA-256 of everything that decides features: weights, architecture and configuration."""
        facts = {"architecture": self.architecture, "config": self.config, "weights": self.digest}
        return f"sha256:{sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()}"


class Incoming:
    """A file that is being written into the catalogue: hashed as it comes, and kept only when asked."""

    def __init__(self, opened: IO[bytes], path: Path) -> None:
        self.path = path
        self.size = 0
        self._opened = opened
        self._hash = sha256()

    def write(self, chunk: bytes) -> None:
        """Append ``chunk``."""
        self._opened.write(chunk)
        self._hash.update(chunk)
        self.size += len(chunk)

    def finish(self) -> str:
        """The digest of all that was written, once it is on the disk."""
        self._opened.flush()
        os.fsync(self._opened.fileno())
        return f"sha256:{self._hash.hexdigest()}"


class Catalogue:
    """The weights under ``root``: an index ``catalogue.json`` beside files that are named by their digest."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(
        self,
        name: str,
        weights_file: Path,
        config: Mapping[str, Any],
        *,
        licence: str,
        source: str,
        digest_origin: DigestOrigin = DigestOrigin.IMPORT,
        expected: str | None = None,
    ) -> Entry:
        """The entry under which a copy of ``weights_file`` is kept; an entry of that name is replaced.

        ``config`` names its ``architecture`` and is what that architecture is built from. Where ``expected`` is a
        digest, the file must have it. Raises BadWeights 'no-architecture', 'weights-missing', 'unknown-format',
        'executable-weights' or 'digest-differs'; then nothing is kept.
        """
        if not weights_file.is_file():
            raise BadWeights("weights-missing", f"there is no file {weights_file}")
        with self.incoming() as incoming, weights_file.open("rb") as opened:
            while chunk := opened.read(_CHUNK):
                incoming.write(chunk)
            check_digest(name, incoming.finish(), expected, str(weights_file))
            return self.keep(name, incoming, config, licence=licence, source=source, digest_origin=digest_origin)

    @contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """A file to write weights into; it is gone afterwards unless ``keep`` was called."""
        self.root.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self.root, prefix="incoming-", delete=False) as part:
            path = Path(part.name)
            try:
                yield Incoming(part, path)
            finally:
                path.unlink(missing_ok=True)

    def keep(
        self,
        name: str,
        incoming: Incoming,
        config: Mapping[str, Any],
        *,
        licence: str,
        source: str,
        digest_origin: DigestOrigin,
    ) -> Entry:
        """The entry under which what came in is kept, once its format is one that is loaded; see ``add``."""
        if "architecture" not in config:
            raise BadWeights(
                "no-architecture", f"the configuration of '{name}' names no architecture (got {sorted(config)})"
            )
        digest = incoming.finish()
        kind = format_of(incoming.path)
        os.replace(incoming.path, self._path(digest, kind))
        documents = self._documents()
        documents[name] = {
            "config": json.loads(json.dumps(dict(config))),
            "digest": digest,
            "digest_origin": digest_origin.value,
            "format": kind.value,
            "licence": licence,
            "source": source,
        }
        self._replace(_INDEX, json.dumps(documents, indent=2, sort_keys=True).encode())
        return self.entry(name)

    def entries(self) -> list[Entry]:
        """All entries by name."""
        return [self._parse(name, document) for name, document in sorted(self._documents().items())]

    def entry(self, name: str) -> Entry:
        """The entry of that name; BadWeights 'no-such-backbone' where there is none."""
        documents = self._documents()
        if name not in documents:
            known = ", ".join(sorted(documents)) or "none"
            raise BadWeights(
                "no-such-backbone",
                f"the catalogue holds no backbone '{name}' (it holds: {known}); fetch or import it first",
            )
        return self._parse(name, documents[name])

    def verify(self, name: str) -> Entry:
        """The entry, once its file has been read and has the digest recorded; otherwise BadWeights names the file."""
        entry = self.entry(name)
        hashed = sha256()
        with _opened(entry) as opened:
            while chunk := opened.read(_CHUNK):
                hashed.update(chunk)
        _check_unchanged(entry, hashed.hexdigest())
        return entry

    def read(self, name: str) -> bytearray:
        """The verified bytes of the weights: what is returned is what was hashed. Tensors may be views of them."""
        entry = self.entry(name)
        with _opened(entry) as opened:
            data = bytearray(os.fstat(opened.fileno()).st_size)
            opened.readinto(data)
        _check_unchanged(entry, sha256(data).hexdigest())
        return data

    def _documents(self) -> dict[str, Any]:
        index = self.root / _INDEX
        if not index.is_file():
            return {}
        documents: dict[str, Any] = json.loads(index.read_text())
        return documents

    def _parse(self, name: str, document: Mapping[str, Any]) -> Entry:
        config = document["config"]
        kind = Format(document.get("format", Format.SAFETENSORS))
        return Entry(
            name=name,
            architecture=config["architecture"],
            digest=document["digest"],
            licence=document["licence"],
            source=document["source"],
            path=self._path(document["digest"], kind),
            config=config,
            format=kind,
            digest_origin=DigestOrigin(document.get("digest_origin", DigestOrigin.IMPORT)),
        )

    def _path(self, digest: str, kind: Format) -> Path:
        return self.root / f"{digest.removeprefix('sha256:')}.{kind.value}"

    def _replace(self, name: str, data: bytes) -> None:
        with tempfile.NamedTemporaryFile(dir=self.root, delete=False) as part:
            part.write(data)
        os.replace(part.name, self.root / name)


def check_digest(name: str, found: str, expected: str | None, where: str) -> None:
    """Nothing where ``expected`` is None or equals ``found``; otherwise BadWeights 'digest-differs'."""
    if expected is not None and found != expected:
        raise BadWeights(
            "digest-differs",
            f"{where} is not the '{name}' that is known (got {found}, expected {expected}); nothing was kept",
            found=found,
            expected=expected,
        )


def _opened(entry: Entry) -> BufferedReader:
    try:
        return entry.path.open("rb")
    except FileNotFoundError as error:
        raise BadWeights(
            "weights-missing", f"the weights of '{entry.name}' are not at {entry.path}; fetch or import them again"
        ) from error


def _check_unchanged(entry: Entry, hexdigest: str) -> None:
    found = f"sha256:{hexdigest}"
    if found != entry.digest:
        raise BadWeights(
            "weights-changed",
            f"{entry.path} was changed after it was added as '{entry.name}' "
            f"(got {found}, expected {entry.digest}); fetch or import it again",
        )
