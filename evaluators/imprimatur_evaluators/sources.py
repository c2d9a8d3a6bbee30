"""Where images come from: an array, a folder, a Parquet file, or tar shards. No torch here.

A source hands out its images one after another and decodes nothing until asked. Images are known by their pixels, so
that the same picture is the same picture in whichever source, under whichever name, and however it was encoded.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import IO, Protocol

import numpy as np

from imprimatur_evaluators.errors import BadImage, BadRequest
from imprimatur_evaluators.images import ENDINGS, Images, Limits, checked, decode, inspect

DEFAULT_LIMITS = Limits()
_TARS = (".tar", ".tar.gz", ".tgz")


class Picture(Protocol):
    """One image of a source."""

    @property
    def name(self) -> str:
        """What errors and evidence call it."""

    @property
    def encoding(self) -> str | None:
        """The SHA-256 of its encoded bytes once label and size are found acceptable, or None for raw pixels.

        Raises BadImage, which names the image.
        """

    def pixels(self) -> Images:
        """The image [h, w, 3]. Raises BadImage, which names the image."""


class Source(Protocol):
    """Images in an order that stays the same."""

    @property
    def names(self) -> Sequence[str]:
        """The names of the images, in order."""

    def __iter__(self) -> Iterator[Picture]:
        """The images, in order."""


@dataclass(frozen=True, eq=False)
class RawPicture:
    """An image that comes as pixels."""

    name: str
    image: Images
    encoding: None = None

    def pixels(self) -> Images:
        """The image as it came."""
        return self.image


@dataclass(frozen=True, eq=False)
class EncodedPicture:
    """An image that comes as the bytes of a PNG, JPEG or WebP file, opened when first looked at and read once."""

    name: str
    open: Callable[[], IO[bytes] | None]
    limits: Limits = DEFAULT_LIMITS

    @cached_property
    def data(self) -> bytes:
        """The bytes, one more than the limit at most; BadImage 'unreadable-image' where they can't be read."""
        try:
            opened = self.open()
            with opened or BytesIO() as stream:
                return stream.read(self.limits.encoded_bytes + 1)
        except OSError as error:
            raise BadImage("unreadable-image", f"{self.name} can't be read: {error.strerror or error}") from error

    @property
    def encoding(self) -> str:
        """The SHA-256 of the bytes, once their header is found acceptable."""
        inspect(self.data, self.name, self.limits)
        return sha256(self.data).hexdigest()

    def pixels(self) -> Images:
        """The decoded image."""
        return decode(self.data, self.name, self.limits)


@dataclass(frozen=True, eq=False)
class ArraySource:
    """Images [n, h, w, 3] in memory, called by their row."""

    images: Images
    what: str = "the set"

    def __post_init__(self) -> None:
        checked(self.images, self.what)

    @property
    def names(self) -> Sequence[str]:
        """The rows as texts."""
        return [str(row) for row in range(len(self.images))]

    def __iter__(self) -> Iterator[Picture]:
        """The images by row."""
        return (RawPicture(str(row), image) for row, image in enumerate(self.images))


@dataclass(frozen=True, eq=False)
class FolderSource:
    """The image files of a folder and the folders in it, by their relative paths in alphabetical order."""

    root: Path
    limits: Limits = DEFAULT_LIMITS

    @cached_property
    def names(self) -> Sequence[str]:
        """The relative paths of the files with an image's ending."""
        found = (path for path in self.root.rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
        return sorted(path.relative_to(self.root).as_posix() for path in found)

    def __iter__(self) -> Iterator[Picture]:
        """The images by path; a file is read when it is looked at."""
        return (EncodedPicture(name, partial(_opened, self.root / name), self.limits) for name in self.names)


@dataclass(frozen=True, eq=False)
class ParquetSource:
    """The images of a Parquet file's column ``image`` of bytes; called by its column ``name``, else by row."""

    path: Path
    limits: Limits = DEFAULT_LIMITS

    @cached_property
    def names(self) -> Sequence[str]:
        """The column ``name``, or the rows as texts."""
        import pyarrow.parquet as pq

        file = pq.ParquetFile(self.path)
        if "image" not in file.schema_arrow.names:
            raise BadRequest(
                "no-image-column", f"{self.path} has the columns {file.schema_arrow.names} (expected 'image' of bytes)"
            )
        if "name" not in file.schema_arrow.names:
            return [str(row) for row in range(file.metadata.num_rows)]
        return [str(name) for name in file.read(columns=["name"]).column("name").to_pylist()]

    def __iter__(self) -> Iterator[Picture]:
        """The images by row, a batch of rows in memory at a time."""
        import pyarrow.parquet as pq

        names = iter(self.names)
        for batch in pq.ParquetFile(self.path).iter_batches(batch_size=64, columns=["image"]):
            for data in batch.column("image").to_pylist():
                yield EncodedPicture(next(names), partial(BytesIO, data or b""), self.limits)


@dataclass(frozen=True, eq=False)
class TarSource:
    """The image files in tar shards, shard after shard in the order of their names; other members are passed over."""

    shards: tuple[Path, ...]
    limits: Limits = DEFAULT_LIMITS

    @cached_property
    def names(self) -> Sequence[str]:
        """``shard:member`` for each image."""
        return [f"{shard.name}:{member.name}" for shard in self.shards for member in _members(shard)]

    def __iter__(self) -> Iterator[Picture]:
        """The images in the order of the members; nothing is unpacked to disk."""
        for shard in self.shards:
            with tarfile.open(shard) as opened:
                for member in opened:
                    if _is_image(member):
                        picture = EncodedPicture(
                            f"{shard.name}:{member.name}", partial(opened.extractfile, member), self.limits
                        )
                        _ = picture.data  # read in turn: a tar is one stream, and closed before others look
                        yield picture


def source_of(where: Path | str | Images | Source, limits: Limits | None = None) -> Source:
    """The source that ``where`` means: an array, a folder of images or of tar shards, a ``.parquet`` or a tar file.

    BadRequest 'no-images' where there is nothing to be found, 'unknown-source' where it is of no such kind.
    """
    if isinstance(where, np.ndarray):
        return ArraySource(where)
    if not isinstance(where, str | Path):
        return where
    source = _on_disk(Path(where), limits or DEFAULT_LIMITS)
    if not source.names:
        raise BadRequest("no-images", f"{where} holds no image (expected {', '.join(sorted(ENDINGS))} files)")
    return source


def _on_disk(path: Path, limits: Limits) -> Source:
    if path.is_dir():
        shards = tuple(sorted(each for each in path.iterdir() if each.name.endswith(_TARS)))
        return TarSource(shards, limits) if shards else FolderSource(path, limits)
    if not path.exists():
        raise BadRequest("no-images", f"there is no folder or file {path}")
    if path.suffix == ".parquet":
        return ParquetSource(path, limits)
    if path.name.endswith(_TARS):
        return TarSource((path,), limits)
    raise BadRequest("unknown-source", f"{path} is no folder, .parquet or .tar file")


def _opened(path: Path) -> IO[bytes]:
    return path.open("rb")


def _members(shard: Path) -> list[tarfile.TarInfo]:
    with tarfile.open(shard) as opened:
        return [member for member in opened if _is_image(member)]


def _is_image(member: tarfile.TarInfo) -> bool:
    return member.isfile() and Path(member.name).suffix.lower() in ENDINGS
