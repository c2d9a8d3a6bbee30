"""SSCD, the descriptor that finds copies: a ResNet-50, generalised mean pooling, 512 numbers of unit length.

Pizzi et al., "A self-supervised descriptor for image copy detection", CVPR 2022. Weights: the authors'
``sscd_disc_mixup.torchvision.pt``, a plain state dict. For that model pairs of DISC above a cosine of 0.75 are copies
with 90% precision. Their evaluation resizes the shorter side to 288 and keeps the aspect ratio; for square images that
is what we do, and others are squashed to the square, the alternative that their README recommends for batches.
"""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models import resnet50

from imprimatur_evaluators.backbones.catalogue import Entry
from imprimatur_evaluators.backbones.network import Network
from imprimatur_evaluators.backbones.state_dict import assembled, state_dict_of

_SMALLEST = 1e-6


class GeneralisedMean(nn.Module):
    """The mean of the p-th powers over all places, to the power 1/p (Radenovic, Tolias and Chum, TPAMI 2019)."""

    def __init__(self, power: float) -> None:
        super().__init__()
        self.power = power

    def forward(self, maps: Tensor) -> Tensor:
        """Maps [n, c, h, w], pooled to [n, c, 1, 1]."""
        powers = maps.clamp(min=_SMALLEST).pow(self.power)
        return powers.mean(dim=(2, 3), keepdim=True).pow(1 / self.power)


class Sscd(nn.Module):
    """From input [n, 3, h, w] to [n, dims]; parts have the names that they have in the published file."""

    def __init__(self, dims: int, power: float) -> None:
        super().__init__()
        self.backbone = resnet50(weights=None, num_classes=dims)
        self.backbone.avgpool = GeneralisedMean(power)

    def forward(self, images: Tensor) -> Tensor:
        """Descriptors before they are divided by their length."""
        descriptors: Tensor = self.backbone(images)
        return descriptors


class SscdBackbone(Network):
    """Features [n, dims] of unit length, compared by their cosine."""

    _module: Sscd

    @property
    def width(self) -> int:
        """512 for the published model."""
        return int(self._module.backbone.fc.out_features)

    def _embedded(self, batch: Tensor) -> Tensor:
        features: Tensor = self._module(batch)
        return features


def load(entry: Entry, weights: bytearray, device: str) -> SscdBackbone:
    """The backbone with these weights; BadWeights 'weights-do-not-fit'."""
    dims, power = entry.config["dims"], entry.config["power"]
    module = assembled(entry, lambda: Sscd(dims, power), state_dict_of(entry, weights))
    return SscdBackbone(entry, module, device, channels_last=True)
