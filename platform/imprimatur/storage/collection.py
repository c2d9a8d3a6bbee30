"""Garbage collection: what a crash or a refused registration left in the store, found and removed."""

from __future__ import annotations

import fcntl
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from imprimatur.core.digests import Digest, Json

SAFE_AGE = timedelta(hours=24)
"""What is younger may belong to a sealing that is under way: bytes are stored before the database knows of them."""
COLLECTING = ".collecting"


@dataclass(frozen=True)
class Garbage:
    """What nothing refers to: manifests and blobs by digest, files that were never finished, and bytes of both.

    ``strays`` counts what lies among the blobs and is none of them: not ours, so it is told and left there.
    """

    manifests: tuple[Digest, ...]
    blobs: tuple[Digest, ...]
    unfinished: int
    strays: int
    size: int

    def document(self) -> dict[str, Json]:
        """The garbage as JSON."""
        return {
            "manifests": list(self.manifests),
            "blobs": list(self.blobs),
            "unfinished": self.unfinished,
            "strays": self.strays,
            "bytes": self.size,
        }


@contextmanager
def storing(root: Path) -> Iterator[None]:
    """While bytes are put into the store below ``root``, nothing is collected there."""
    with _locked(root, fcntl.LOCK_SH):
        yield


@contextmanager
def collecting(root: Path) -> Iterator[None]:
    """While the store below ``root`` is collected, nothing is put there."""
    with _locked(root, fcntl.LOCK_EX):
        yield


@contextmanager
def _locked(root: Path, how: int) -> Iterator[None]:
    with (root / COLLECTING).open("ab") as lock:
        fcntl.flock(lock, how)
        yield


def older(files: Collection[Path], now: float, age: timedelta) -> list[Path]:
    """Those of ``files`` that nobody touched for ``age``; ``now`` is in seconds since 1970."""
    limit = now - age.total_seconds()
    return [file for file in files if file.stat().st_mtime < limit]
