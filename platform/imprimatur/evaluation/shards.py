"""Finished shards on disk: written once and whole, found again by key after any crash."""

from __future__ import annotations

import os
import uuid
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imprimatur.core.digests import Digest

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class ShardStore:
    """Images of finished shards below ``root``, uint8 [n, height, width, 3] under the shard's key."""

    root: Path

    def get(self, key: Digest) -> Images | None:
        """The shard's images; None where it is not there, or where a machine's crash left it unreadable."""
        try:
            with self._path(key).open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                images: Images = stored["images"]
                return images
        except (FileNotFoundError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
            return None  # it is generated again, to the same pixels

    def put(self, key: Digest, images: Images) -> None:
        """Keep the shard's images: all of them or none, whenever the process dies."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{uuid.uuid4().hex}")
        try:
            with unfinished.open("wb") as stream:
                np.savez_compressed(stream, images=images)
                stream.flush()
                os.fsync(stream.fileno())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)

    def _path(self, key: Digest) -> Path:
        name = key.removeprefix("sha256:")
        return self.root / name[:2] / f"{name}.npz"
