"""PDQ, a perceptual hash of 256 bits, as a backbone: no network and no weights.

A bit becomes a number of +-1/16, so that features have unit length and the cosine says the Hamming distance:
``cosine = 1 - distance / 128``. Everything that works on features works on hashes.

Source: Facebook (2019), "The TMK+PDQF Video-Hashing Algorithm and the PDQ Image-Hashing Algorithm"; computed by
``pdqhash``, the reference code with bindings. The reference's tool shrinks images above 512 pixels first by a method
of its own; here they are hashed as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imprimatur_evaluators.backbones.model import View
from imprimatur_evaluators.errors import BadImage, BadRequest
from imprimatur_evaluators.images import Pixels
from imprimatur_evaluators.statistics.arrays import Array, Indices, as_array

BITS = 256
LARGEST_DISTANCE = 31
"""Published: hashes at most this far apart are of the same picture."""
LOWEST_QUALITY = 50
"""Published: hashes of a quality of 49 or less say too little and are left out."""
SMALLEST_SIDE = 5
"""Below this the reference hashes nothing."""


@dataclass(frozen=True, eq=False)
class Hashes:
    """Bits [n, 256] of each image, in the order of the published hexadecimal form, and its quality [n], 0 to 100."""

    bits: NDArray[np.bool_]
    quality: Indices

    @property
    def features(self) -> Array:
        """The bits as features [n, 256] of unit length."""
        features: Array = np.where(self.bits, 1.0, -1.0) / np.sqrt(BITS)
        return features

    def hexadecimal(self) -> list[str]:
        """Each hash as it is published: 64 digits."""
        return [np.packbits(row).tobytes().hex() for row in self.bits]


@dataclass(frozen=True)
class Dropped:
    """An image whose hash says too little to be compared, by name, and its quality."""

    image: str
    quality: int


@dataclass(frozen=True, eq=False)
class Usable:
    """The rows of images whose hashes may be compared, and those left out."""

    rows: Indices
    dropped: tuple[Dropped, ...]


class PdqBackbone:
    """PDQ on images of any size; see ``Backbone`` for what it promises. A missing package says so when it is made."""

    name = "pdq"
    view: View | None = None
    width = BITS

    def __init__(self) -> None:
        _pdqhash()
        self._software = f"PDQ by pdqhash {version('pdqhash')}"

    @property
    def weights_digest(self) -> str:
        """The SHA-256 of the package's name and version: there are no weights, and the code is all that decides."""
        return f"sha256:{sha256(self._software.encode()).hexdigest()}"

    @property
    def identity(self) -> str:
        """The SHA-256 of package, version and protocol."""
        return f"sha256:{sha256(f'{self._software}; {self.protocol}'.encode()).hexdigest()}"

    @property
    def protocol(self) -> str:
        """How images get in, in words."""
        return "256 bits of PDQ, as +-1/16, of the image at its own size; cosine = 1 - Hamming distance / 128"

    def features(self, pixels: Sequence[Pixels]) -> Array:
        """Features [n, 256] of unit length of uint8 images [h, w, 3] of any size from 5x5."""
        return self.hashes(pixels).features

    def hashes(self, pixels: Sequence[Pixels]) -> Hashes:
        """Hash and quality of uint8 images [h, w, 3]; BadImage 'bad-array' or 'image-too-small'."""
        compute = _pdqhash().compute
        found = [compute(_hashable(image, row)) for row, image in enumerate(pixels)]
        bits = np.array([vector for vector, _ in found], dtype=np.bool_).reshape(len(found), BITS)
        return Hashes(bits, np.array([quality for _, quality in found], dtype=np.intp))


def hamming(cosine: Any) -> NDArray[np.int64]:
    """The Hamming distance, 0 to 256, that a cosine between two hashes' features stands for.

    >>> hamming([1.0, 1 - 31 / 128, -1.0]).tolist()
    [0, 31, 256]
    """
    distance: NDArray[np.int64] = np.rint((1 - as_array(cosine)) * (BITS / 2)).astype(np.int64)
    return distance


def published_threshold() -> float:
    """The similarity that features exceed exactly where the published rule calls two images the same: midway, at 31.5.

    >>> 1 - 31 / 128 > published_threshold() > 1 - 32 / 128
    True
    """
    return 1 - (LARGEST_DISTANCE + 0.5) / (BITS / 2)


def usable(images: Sequence[str], quality: Any) -> Usable:
    """Which of the named images may be compared by the published rule, and which are left out for their quality.

    >>> usable(["sea", "sky"], [80, 49]).dropped
    (Dropped(image='sky', quality=49),)
    """
    values = as_array(quality)
    if len(images) != len(values):
        raise BadRequest("bad-option", f"every image needs its quality (got {len(images)} and {len(values)})")
    low = values < LOWEST_QUALITY
    dropped = tuple(Dropped(images[row], int(values[row])) for row in np.flatnonzero(low).tolist())
    return Usable(np.flatnonzero(~low), dropped)


def _hashable(image: Pixels, row: int) -> NDArray[np.uint8]:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise BadImage("bad-array", f"image {row} is {image.dtype} {list(image.shape)} (expected uint8 [h, w, 3])")
    if min(image.shape[:2]) < SMALLEST_SIDE:
        raise BadImage(
            "image-too-small", f"image {row} is {image.shape[1]}x{image.shape[0]} (PDQ needs 5x5); leave it out"
        )
    return np.ascontiguousarray(image)  # the bindings read memory in row order, whatever the array's own order is


def _pdqhash() -> Any:
    try:
        import pdqhash
    except ModuleNotFoundError as error:
        raise BadRequest("missing-package", "PDQ needs the package 'pdqhash'; install imprimatur[gpu]") from error
    return pdqhash
