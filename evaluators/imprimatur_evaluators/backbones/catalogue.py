"""The catalogue of weights: safetensors files by digest, each with architecture, configuration, licence and source.

The digest is verified on every load, so that a file changed afterwards is refused by name. No torch here.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from imprimatur_evaluators.errors import BadWeights

_INDEX = "catalogue.json"
_LARGEST_HEADER = 100_000_000


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

    @property
    def identity(self) -> str:
        """The SHA-256 of everything that decides features: weights, architecture and configuration."""
        facts = {"architecture": self.architecture, "config": self.config, "weights": self.digest}
        return f"sha256:{sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()}"


class Catalogue:
    """The weights under ``root``: an index ``catalogue.json`` beside files that are named by their digest."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, name: str, weights_file: Path, config: Mapping[str, Any], *, licence: str, source: str) -> Entry:
        """The entry under which a copy of ``weights_file`` (safetensors) is kept; an entry of that name is replaced.

        ``config`` names its ``architecture`` and is what that architecture is built from.
        """
        if "architecture" not in config:
            raise BadWeights(
                "no-architecture", f"the configuration of '{name}' names no architecture (got {sorted(config)})"
            )
        _check_format(weights_file)
        digest = _digest_of(weights_file)
        self.root.mkdir(parents=True, exist_ok=True)
        self._copy(weights_file, self._path(digest))
        documents = self._documents()
        documents[name] = {
            "config": json.loads(json.dumps(dict(config))),
            "digest": digest,
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
                "no-such-backbone", f"the catalogue holds no backbone '{name}' (it holds: {known}); add it first"
            )
        return self._parse(name, documents[name])

    def verify(self, name: str) -> Entry:
        """The entry, once its file has been read and has the digest recorded; otherwise BadWeights names the file."""
        self.read(name)
        return self.entry(name)

    def read(self, name: str) -> bytes:
        """The verified bytes of the weights: what is returned is what was hashed."""
        entry = self.entry(name)
        if not entry.path.is_file():
            raise BadWeights("weights-missing", f"the weights of '{name}' are not at {entry.path}; add them again")
        data = entry.path.read_bytes()
        found = f"sha256:{sha256(data).hexdigest()}"
        if found != entry.digest:
            raise BadWeights(
                "weights-changed",
                f"{entry.path} was changed after it was added as '{name}' "
                f"(got {found}, expected {entry.digest}); add it again",
            )
        return data

    def _documents(self) -> dict[str, Any]:
        index = self.root / _INDEX
        if not index.is_file():
            return {}
        documents: dict[str, Any] = json.loads(index.read_text())
        return documents

    def _parse(self, name: str, document: Mapping[str, Any]) -> Entry:
        config = document["config"]
        return Entry(
            name=name,
            architecture=config["architecture"],
            digest=document["digest"],
            licence=document["licence"],
            source=document["source"],
            path=self._path(document["digest"]),
            config=config,
        )

    def _path(self, digest: str) -> Path:
        return self.root / f"{digest.removeprefix('sha256:')}.safetensors"

    def _copy(self, source: Path, target: Path) -> None:
        with tempfile.NamedTemporaryFile(dir=self.root, delete=False) as part, source.open("rb") as opened:
            shutil.copyfileobj(opened, part)
        os.replace(part.name, target)

    def _replace(self, name: str, data: bytes) -> None:
        with tempfile.NamedTemporaryFile(dir=self.root, delete=False) as part:
            part.write(data)
        os.replace(part.name, self.root / name)


def _digest_of(path: Path) -> str:
    with path.open("rb") as opened:
        hashed = sha256()
        while chunk := opened.read(1 << 20):
            hashed.update(chunk)
    return f"sha256:{hashed.hexdigest()}"


def _check_format(path: Path) -> None:
    """Nothing where the file opens as safetensors do: the length of a JSON header, and that header."""
    if not path.is_file():
        raise BadWeights("weights-missing", f"there is no file {path}")
    with path.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        header = opened.read(length) if length <= min(path.stat().st_size, _LARGEST_HEADER) else b""
    try:
        tensors = json.loads(header)
    except ValueError as error:
        raise BadWeights(
            "not-safetensors", f"{path} is not safetensors, the only format that is loaded; convert it"
        ) from error
    if not isinstance(tensors, dict):
        raise BadWeights("not-safetensors", f"{path} has no safetensors header; convert it")
