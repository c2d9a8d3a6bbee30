"""Manifests: which files, how long, with which digests."""

from __future__ import annotations

from dataclasses import dataclass

from imprimatur.core.digests import Digest


@dataclass(frozen=True)
class SealedFile:
    """One file of a sealed folder; ``path`` is relative, with forward slashes."""

    path: str
    size: int
    digest: Digest


@dataclass(frozen=True)
class Manifest:
    """The files of one sealed folder, sorted by path; ``digest`` is that of the OCI manifest's bytes in the store."""

    digest: Digest
    artifact_type: str
    files: tuple[SealedFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)
