"""Images into scores: our one pass against torchmetrics' own metrics one after another, on the same networks.

torchmetrics is handed each decoded batch once for all its metrics; as it has no precision, recall, density and
coverage, `prdc` computes them from the features that its KID has kept, without another pass through the network.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from imprimatur_evaluators.backbones.model import Backbone
from imprimatur_evaluators.bench import networks
from imprimatur_evaluators.bench.duel import Outcome, difference, timed
from imprimatur_evaluators.features import FeatureCache
from imprimatur_evaluators.sources import source_of
from imprimatur_evaluators.suite import MetricRequest, References, Sample, measure

_BATCH = 32
_SIDE = 256
_PROMPTS = ("a photo of a harbour", "a photo of a forest", "a photo of a street", "a photo of a kitchen")
_REQUESTS = [
    *(
        MetricRequest(f"{statistic}/inception", "images")
        for statistic in ("frechet", "kernel", "precision", "recall", "density", "coverage")
    ),
    MetricRequest("cosine-x100/clip", "images"),
]


@dataclass(frozen=True)
class Stage:
    """Folders of generated and real images, and the networks that both sides use."""

    root: Path
    inception: networks.Inception
    clip: Any

    @property
    def prompts(self) -> list[str]:
        """A prompt for each image."""
        return [_PROMPTS[row % len(_PROMPTS)] for row in range(len(source_of(self.root / "generated").names))]

    def backbones(self) -> Mapping[str, Backbone]:
        """The networks as ours."""
        return {
            "inception": networks.InceptionBackbone(self.inception),
            "clip": networks.ClipBackbone(self.clip),
        }


def outcomes(images: int) -> list[Outcome]:
    """Two rows: one pass against torchmetrics, and a second run from the cache against the first. One lap each."""
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder), networks.seeded(networks.Inception), networks.seeded(networks.clip))
        _draw(stage.root, images)
        _warm(stage)
        theirs = timed(lambda: _torchmetrics(stage))
        backbones = stage.backbones()
        first, second = (timed(lambda: _ours(stage, backbones)) for _ in range(2))
    work = f"FID + KID + PRDC + CLIPScore of 2 x {images} images of {_SIDE}x{_SIDE}, files to scores with intervals"
    peers = f"torchmetrics {version('torchmetrics')}, prdc {version('prdc')}"
    return [
        Outcome(work, peers, first.seconds, theirs.seconds, difference(first.value, theirs.value)),
        Outcome(
            "the same once more, from the cache",
            "our first run",
            second.seconds,
            first.seconds,
            difference(second.value, first.value),
        ),
    ]


def _draw(root: Path, images: int) -> None:
    """Smooth random pictures, the generated ones a little brighter."""
    rng = np.random.default_rng(0)
    for name, lift in (("real", 0), ("generated", 12)):
        (root / name).mkdir()
        for row in range(images):
            small = rng.integers(0, 220, size=(12, 12, 3), dtype=np.uint8) + np.uint8(lift)
            picture = Image.fromarray(small).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
            picture.save(root / name / f"{row:05}.png")


def _warm(stage: Stage) -> None:
    """One small batch through each network, as both sides call it."""
    batch = torch.zeros(2, 3, _SIDE, _SIDE, dtype=torch.uint8)
    with torch.inference_mode():
        stage.inception(batch)
    for backbone in stage.backbones().values():
        size = backbone.view.size if backbone.view is not None else _SIDE
        backbone.features([np.zeros((size, size, 3), dtype=np.float32)] * 2)


def _ours(stage: Stage, backbones: Mapping[str, Backbone]) -> float:
    report = measure(
        _REQUESTS,
        {"images": Sample(source_of(stage.root / "generated"), stage.prompts)},
        References(source_of(stage.root / "real")),
        backbones,
        seed=0,
        cache=FeatureCache(stage.root / "cache"),
        workers=torch.get_num_threads(),
    )
    return report.score("cosine-x100/clip").value


def _torchmetrics(stage: Stage) -> float:
    from prdc import compute_prdc
    from torchmetrics.image import FrechetInceptionDistance, KernelInceptionDistance
    from torchmetrics.multimodal import CLIPScore

    size = len(stage.prompts)
    frechet = FrechetInceptionDistance(feature=stage.inception, input_img_size=(3, _SIDE, _SIDE))
    kernel = KernelInceptionDistance(feature=stage.inception, subset_size=size)
    processed: Any = lambda: (_Plain(stage.clip), networks.Processor())  # noqa: E731  its type names transformers' own
    clip_score = CLIPScore(model_name_or_path=processed)
    with torch.inference_mode():
        for real in (True, False):
            for batch, prompts in _batches(stage, real=real):
                frechet.update(batch, real=real)
                kernel.update(batch, real=real)
                if not real:
                    clip_score.update(list(batch), prompts)
        frechet.compute()
        kernel.compute()
        features = [torch.cat(kept).numpy() for kept in (kernel.real_features, kernel.fake_features)]
        compute_prdc(*features, nearest_k=5)
        return float(clip_score.compute())


def _batches(stage: Stage, *, real: bool) -> Iterator[tuple[Tensor, list[str]]]:
    paths = sorted((stage.root / ("real" if real else "generated")).iterdir())
    for top in range(0, len(paths), _BATCH):
        images = [np.array(Image.open(path)) for path in paths[top : top + _BATCH]]
        yield torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2), stage.prompts[top : top + _BATCH]


class _Plain(torch.nn.Module):
    """The CLIP with features as plain tensors, as torchmetrics takes them."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.config = model.config

    def get_image_features(self, pixels: Tensor) -> Tensor:
        """Features of images."""
        return networks.plain(self.model.get_image_features(pixels))

    def get_text_features(self, numbers: Tensor, mask: Tensor) -> Tensor:
        """Features of prompts."""
        return networks.plain(self.model.get_text_features(numbers, mask))
