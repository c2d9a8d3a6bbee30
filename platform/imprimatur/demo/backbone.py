"""The demo's evaluation backbone: a small CLIP of our own, trained on the training digits and kept with its digest."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imprimatur.demo.digits import LICENCE, NAMES, SOURCE, Digits, caption
from imprimatur.demo.pipeline import seeded
from imprimatur.demo.training import Watch
from imprimatur_evaluators.backbones import Catalogue, Entry, load_joint
from imprimatur_evaluators.features import image_features

NAME = "digits-clip"
STEPS = 300


@dataclass(frozen=True)
class TrainedBackbone:
    """The catalogue's entry, the share of held-out digits that it reads rightly, and what training took."""

    entry: Entry
    accuracy: float
    losses: tuple[float, ...]


def train(
    training: Digits, held_out: Digits, catalogue: Catalogue, *, steps: int, seed: int, device: str, watch: Watch
) -> TrainedBackbone:
    """The backbone, trained on ``training`` alone and stored in the catalogue as ``digits-clip``."""
    from safetensors.torch import save_file

    from imprimatur_evaluators.backbones.open_clip_model import SMALL_DIGITS, build
    from imprimatur_evaluators.backbones.training import train as fit

    with seeded(seed):
        model = build(SMALL_DIGITS)
    captions = training.captions
    losses = fit(model, SMALL_DIGITS, training.images, captions, steps=steps, seed=seed, on_step=watch, device=device)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "model.safetensors"
        save_file({name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}, weights)
        source = f"Trained by this demo with seed {seed} on: {SOURCE}"
        entry = catalogue.add(NAME, weights, SMALL_DIGITS, licence=LICENCE, source=source)
    return TrainedBackbone(entry, accuracy(catalogue, held_out, device), tuple(losses))


def accuracy(catalogue: Catalogue, digits: Digits, device: str) -> float:
    """The share of real digits whose own caption the stored backbone ranks first among the ten."""
    backbone = load_joint(NAME, catalogue, device)
    captions = backbone.text_features([caption(label) for label in range(len(NAMES))])
    read = (image_features(digits.images, backbone) @ captions.T).argmax(axis=1)
    return float(np.mean(read == digits.labels))
