"""The demo's data: 1,797 real handwritten digits, split once by seed, and the datasets made of them.

The digits are the test part of the UCI "Optical Recognition of Handwritten Digits" set, as scikit-learn carries it:
8x8 grey values of 13 writers, here enlarged bicubically to 32x32 colour images. Ten training images, one a digit,
play the part of protected works, with owners that are invented and say so.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from imprimatur.core.digests import Digest, digest_of_bytes

Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NEUTRAL_PROMPT = "a handwritten digit"
SIZE = 32
OWNER = "E. Alpaydin and C. Kaynak, UCI Machine Learning Repository"
LICENCE = "CC-BY-4.0"
SOURCE = "Optical Recognition of Handwritten Digits, doi:10.24432/C50P49, as carried by scikit-learn"

_TRAINING = 1_200
_REFERENCE = 300
_WORKS = (
    ("Nought, after rain", "Estate of Odile Renard (demo)"),
    ("The Lamppost", "Estate of Tobias Linde (demo)"),
    ("Swan on the Avon", "Estate of Harriet Colebrook (demo)"),
    ("Three Hills", "Estate of Marek Duda (demo)"),
    ("Open Gate", "Fundación Isabel Quiroga (demo)"),
    ("Hook and Sail", "Estate of Jun Takemoto (demo)"),
    ("Snail", "Estate of Odile Renard (demo)"),
    ("Scythe", "Atelier Brandt & Söhne (demo)"),
    ("Hourglass", "Estate of Amara Nwosu (demo)"),
    ("Balloon, Evening", "Estate of Harriet Colebrook (demo)"),
)
WORKS_LICENCE = "All rights reserved (demo)"


@dataclass(frozen=True)
class Digits:
    """Real digits: ``images`` of shape [n, 32, 32, 3] and ``labels`` of shape [n], each label from 0 to 9."""

    images: Images
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def captions(self) -> tuple[str, ...]:
        """What each image shows, in words."""
        return tuple(caption(int(label)) for label in self.labels)

    @property
    def digest(self) -> Digest:
        """The digest of pixels and labels."""
        return digest_of_bytes(self.images.tobytes() + self.labels.astype("<i8").tobytes())

    def take(self, rows: npt.NDArray[np.int64]) -> Digits:
        """The digits at ``rows``, in that order."""
        return Digits(self.images[rows], self.labels[rows])


@dataclass(frozen=True)
class Split:
    """One division of the digits. ``protected`` lies inside ``training``; the other two share no image with it."""

    training: Digits
    protected: Digits
    reference: Digits
    calibration: Digits


def caption(label: int) -> str:
    """The caption of one digit.

    >>> caption(7)
    'a handwritten seven'
    """
    return f"a handwritten {NAMES[label]}"


def load() -> Digits:
    """All 1,797 digits, enlarged bicubically to 32x32 with three equal channels."""
    from sklearn.datasets import load_digits  # late: the server does without scikit-learn

    raw: Any = load_digits()
    small = np.round(raw.images * (255 / 16)).astype(np.uint8)
    enlarged = [Image.fromarray(image).resize((SIZE, SIZE), Image.Resampling.BICUBIC) for image in small]
    grey = np.stack([np.asarray(image, dtype=np.uint8) for image in enlarged])
    return Digits(np.repeat(grey[..., None], 3, axis=3), raw.target.astype(np.int64))


def split(digits: Digits, seed: int) -> Split:
    """1,200 training digits with ten protected works among them, 300 reference and the remaining calibration digits."""
    order = np.random.default_rng(seed).permutation(len(digits))
    training = digits.take(order[:_TRAINING])
    first_of_each = np.array([int(np.argmax(training.labels == label)) for label in range(len(NAMES))])
    return Split(
        training=training,
        protected=training.take(first_of_each),
        reference=digits.take(order[_TRAINING : _TRAINING + _REFERENCE]),
        calibration=digits.take(order[_TRAINING + _REFERENCE :]),
    )


def prompts_parquet() -> bytes:
    """The prompt set: one prompt a digit in group ``conditional``, and the neutral prompt in group ``neutral``."""
    conditional = [{"prompt": caption(label), "label": NAMES[label], "group": "conditional"} for label in range(10)]
    return _parquet([*conditional, {"prompt": NEUTRAL_PROMPT, "label": "", "group": "neutral"}])


def images_parquet(digits: Digits) -> bytes:
    """A reference or calibration set: PNG bytes, label and caption of each digit."""
    rows = zip(digits.images, digits.labels, digits.captions, strict=True)
    return _parquet([{"image": _png(image), "label": NAMES[label], "caption": words} for image, label, words in rows])


def protected_parquet(works: Digits) -> bytes:
    """The protected works: PNG bytes with title, owner, licence and source of each."""
    rows = zip(works.images, works.labels, strict=True)
    return _parquet([{"image": _png(image), **_rights(int(label))} for image, label in rows])


def write_datasets(parts: Split, folder: Path) -> dict[str, Path]:
    """One Parquet file for each kind of dataset, named by it, and one of the training digits; ``folder`` is made."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {
        "prompts": prompts_parquet(),
        "reference": images_parquet(parts.reference),
        "calibration": images_parquet(parts.calibration),
        "protected": protected_parquet(parts.protected),
        "training": images_parquet(parts.training),
    }
    paths = {kind: folder / f"{kind}.parquet" for kind in contents}
    for kind, data in contents.items():
        paths[kind].write_bytes(data)
    return paths


def _rights(label: int) -> dict[str, str]:
    title, owner = _WORKS[label]
    return {"title": title, "owner": owner, "licence": WORKS_LICENCE, "source": f"{SOURCE}; owner invented"}


def _png(image: Images) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG")
    return buffer.getvalue()


def _parquet(rows: Sequence[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), buffer)
    return buffer.getvalue()
