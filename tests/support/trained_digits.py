"""The small CLIP of the digits, trained once in a run however many test files need a real network."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imprimatur_evaluators.backbones import Catalogue
from imprimatur_evaluators.images import Images

if TYPE_CHECKING:
    from imprimatur_evaluators.backbones import JointBackbone

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TRAINED_ON = 1200
"""The first digits train the network; the rest are held out."""
STEPS = 300
"""As many as the demo takes."""


@cache
def enlarged_digits() -> tuple[Images, NDArray[np.int64]]:
    """Images [1797, 32, 32, 3] and labels of all digits in a fixed random order, enlarged as the demo does."""
    from sklearn.datasets import load_digits

    loaded = load_digits()
    order = np.random.default_rng(0).permutation(len(loaded.images))
    small = np.round(loaded.images[order] / 16 * 255).astype(np.uint8)
    grey = [Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC) for image in small]
    return np.repeat(np.stack([np.asarray(image) for image in grey])[..., None], 3, axis=-1), loaded.target[order]


def caption(label: int) -> str:
    """The caption of one digit."""
    return f"a handwritten {WORDS[label]}"


@cache
def _weights() -> bytes:
    import torch
    from safetensors.torch import save

    from imprimatur_evaluators.backbones.open_clip_model import SMALL_DIGITS, build
    from imprimatur_evaluators.backbones.training import train

    images, labels = enlarged_digits()
    captions = [caption(label) for label in labels[:TRAINED_ON]]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # how many there are changes the last digits of every step, and so the network
    torch.manual_seed(0)
    model = build(SMALL_DIGITS)
    train(model, SMALL_DIGITS, images[:TRAINED_ON], captions, steps=STEPS, seed=0)
    torch.set_num_threads(threads)
    return save({name: tensor.contiguous() for name, tensor in model.state_dict().items()})


def trained_catalogue(folder: Path) -> Catalogue:
    """A catalogue under ``folder`` that holds the trained network as ``digits-clip``."""
    from imprimatur_evaluators.backbones.open_clip_model import SMALL_DIGITS

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.safetensors").write_bytes(_weights())
    made = Catalogue(folder / "catalogue")
    licence, source = "Apache-2.0", "trained in a test"
    made.add("digits-clip", folder / "weights.safetensors", SMALL_DIGITS, licence=licence, source=source)
    return made


def trained_clip(folder: Path) -> JointBackbone:
    """The trained network, its weights kept under ``folder``."""
    from imprimatur_evaluators.backbones import load_joint

    return load_joint("digits-clip", trained_catalogue(folder))


def recompressed(images: Images) -> Images:
    """Copies through JPEG at quality 60."""
    copies = []
    for image in images:
        written = BytesIO()
        Image.fromarray(image).save(written, "JPEG", quality=60)
        copies.append(np.asarray(Image.open(written)))
    return np.stack(copies)


def noised(images: Images) -> Images:
    """Copies under Gaussian noise of deviation 10."""
    noise = np.random.default_rng(0).normal(0, 10, images.shape)
    return np.clip(images + noise, 0, 255).astype(np.uint8)


def shifted(images: Images, down: int = 0, right: int = 1) -> Images:
    """Copies moved by so many thirty-seconds of the side, the edge repeated where nothing was."""
    height, width = images.shape[1:3]
    edge = height // 32
    wide = np.pad(images, ((0, 0), (edge, edge), (edge, edge), (0, 0)), mode="edge")
    top, left = edge - down * edge, edge - right * edge
    return np.ascontiguousarray(wide[:, top : top + height, left : left + width])


def cropped(images: Images) -> Images:
    """Copies without one thirty-second of the height on each side, enlarged to the size they had."""
    height, width = images.shape[1:3]
    edge = max(1, height // 32)
    inner = images[:, edge:-edge, edge:-edge]
    return np.stack(
        [np.asarray(Image.fromarray(one).resize((width, height), Image.Resampling.BICUBIC)) for one in inner]
    )
