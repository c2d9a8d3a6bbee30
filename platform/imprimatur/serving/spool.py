"""The spool: one JSON line for each served image, and the images kept for re-scoring.

Each gateway process appends to files of its own, one a day, with whole lines; a line counts once its newline is there.
Readers remember how far they came, so lines are never rewritten or moved.
"""

from __future__ import annotations

import json
import os
import random
import threading
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, ConfigDict, Field, TypeAdapter

from imprimatur.core.clock import Clock, iso
from imprimatur.core.digests import Digest, new_id
from imprimatur.core.errors import Unavailable

_IMAGES = "images"
_MINUTE = timedelta(minutes=1)


_Name = Annotated[str, Field(min_length=1, max_length=256)]


@dataclass(frozen=True)
class Served:
    """One served image. ``image`` is the kept PNG's path relative to the spool, None where none was kept."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    id: Annotated[str, Field(min_length=1, max_length=32)]
    at: AwareDatetime
    model: _Name
    version: Annotated[int, Field(ge=1)]
    manifest_digest: Annotated[Digest, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    environment: Annotated[str, Field(min_length=1, max_length=64)]
    prompt: Annotated[str, Field(pattern=r"^[^\x00]*$")]  # PostgreSQL's text takes no NUL
    seed: Annotated[int, Field(ge=0)]
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    device: Annotated[str, Field(min_length=1, max_length=128)]
    images: Annotated[int, Field(ge=0)]
    client: _Name
    team: _Name
    image: Annotated[str, Field(max_length=256)] | None

    def line(self) -> bytes:
        """The line of the spool, with its newline."""
        return json.dumps({**asdict(self), "at": iso(self.at)}, ensure_ascii=True).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> Served:
        """The image that ``line`` records. Raises ValueError where it has another form."""
        return _SERVED.validate_json(line)


_SERVED = TypeAdapter(Served)


class Spool:
    """Where one gateway process writes what it served."""

    def __init__(self, root: Path, clock: Clock, *, share: float, per_minute: int) -> None:
        self._root = root
        self._clock = clock
        self._share = share
        self._per_minute = per_minute
        self._writer = new_id("gw")
        self._lock = threading.Lock()
        self._chance = random.Random()  # noqa: S311  chooses samples, guards nothing
        self._minute: datetime | None = None
        self._kept = 0

    def wants_image(self) -> bool:
        """Whether the next image is one to keep: a random share of all, up to so many a minute."""
        with self._lock:
            now = self._clock()
            if self._minute is None or now - self._minute >= _MINUTE:
                self._minute, self._kept = now, 0
            if self._kept >= self._per_minute or self._chance.random() >= self._share:
                return False
            self._kept += 1
            return True

    def keep_image(self, image_id: str, png: bytes) -> str:
        """Write the PNG so that it is there whole or not at all; return its path relative to the spool."""
        relative = f"{_IMAGES}/{self._clock():%Y%m%d}/{image_id}.png"
        target = self._root / relative
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_suffix(".partial")
            partial.write_bytes(png)
            partial.replace(target)
        except OSError as error:
            raise _unwritable(error) from error
        return relative

    def append(self, served: Served) -> None:
        """Record one served image. Raises Unavailable ``spool-unwritable``: what can't be booked is not served."""
        with self._lock:
            try:
                self._write(f"{served.at:%Y%m%d}-{self._writer}.jsonl", served.line())
            except OSError as error:
                self._writer = new_id("gw")  # a torn line stays the last of its file, and so is never counted
                raise _unwritable(error) from error

    def _write(self, name: str, line: bytes) -> None:
        self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / name).open("ab", buffering=0) as stream:
            if stream.write(line) != len(line):
                raise OSError("only a part of the line was written")


@dataclass(frozen=True)
class Line:
    """One whole line of a spool file, and where the next one begins."""

    data: bytes
    end: int


def spool_files(root: Path) -> list[str]:
    """Names of the spool's files, oldest day first."""
    return sorted(path.name for path in root.glob("*.jsonl"))


def read_lines(root: Path, name: str, offset: int, limit: int) -> list[Line]:
    """Up to ``limit`` whole lines of one file from ``offset`` on; a line that is still being written is left."""
    lines: list[Line] = []
    with (root / name).open("rb") as stream:
        stream.seek(offset)
        while len(lines) < limit and (data := stream.readline()).endswith(b"\n"):
            offset += len(data)
            lines.append(Line(data, offset))
    return lines


def image_path(root: Path, relative: str) -> Path:
    """The kept image's path. Raises ValueError where ``relative`` leads out of the spool."""
    path = (root / relative).resolve()
    if not path.is_relative_to((root / _IMAGES).resolve()):
        raise ValueError(f"{relative!r} leads out of the spool")
    return path


def _unwritable(error: OSError) -> Unavailable:
    reason = os.strerror(error.errno) if error.errno else str(error)
    return Unavailable(
        "spool-unwritable", f"What is served can't be recorded ({reason}), and what is not recorded is not served"
    )
