"""The list of what a layout holds: ``index.json`` on local disk, changed by one writer at a time."""

from __future__ import annotations

import fcntl
import json
import os
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from imprimatur.core.files import sync_folder
from imprimatur.storage.blobs import settle, writing
from imprimatur.storage.layout import LAYOUT, index_bytes

INDEX = "index.json"
LOCK = ".lock"

Entry = Mapping[str, Any]


class Index(ABC):
    """The manifests of a layout as descriptors, in the order of entering."""

    @abstractmethod
    def prepare(self) -> None:
        """Make an empty index where there is none."""

    @abstractmethod
    def entries(self) -> list[Entry]:
        """Every descriptor."""

    @abstractmethod
    def add(self, descriptor: Entry) -> None:
        """Enter a descriptor, once."""

    @abstractmethod
    def keep(self, wanted: Callable[[Entry], bool]) -> None:
        """Drop every descriptor that is not ``wanted``."""


class DiskIndex(Index):
    """``index.json`` in a folder; a lock file keeps writers apart, readers see the old file or the new one."""

    def __init__(self, root: Path, incoming: Path) -> None:
        self._root = root
        self._incoming = incoming

    def prepare(self) -> None:
        """Make the layout's own file and an empty index where they are missing."""
        for name, content in (("oci-layout", LAYOUT), (INDEX, index_bytes([]))):
            if not (self._root / name).exists():
                self._replace(self._root / name, content, only_new=True)

    def entries(self) -> list[Entry]:
        """Every descriptor."""
        entries: list[Entry] = json.loads((self._root / INDEX).read_bytes())["manifests"]
        return entries

    def add(self, descriptor: Entry) -> None:
        """Enter a descriptor, once."""
        with self._locked():
            entries = self.entries()
            if descriptor not in entries:
                self._replace(self._root / INDEX, index_bytes([*entries, descriptor]))

    def keep(self, wanted: Callable[[Entry], bool]) -> None:
        """Drop every descriptor that is not ``wanted``."""
        with self._locked():
            self._replace(self._root / INDEX, index_bytes(filter(wanted, self.entries())))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with writing(), (self._root / LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _replace(self, path: Path, content: bytes, *, only_new: bool = False) -> None:
        temporary = self._incoming / uuid.uuid4().hex
        try:
            with temporary.open("xb") as stream:
                stream.write(content)
                settle(stream)
            if only_new:
                with suppress(FileExistsError):  # another process was first, and may have written more since
                    os.link(temporary, path)
            else:
                os.replace(temporary, path)
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
