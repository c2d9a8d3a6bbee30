"""The Inception of 2015 that FID is defined on, from torch-fidelity's blocks and a plain state dict.

Its published name is FID only with this network's 2048 numbers after the last pooling (Heusel et al., "GANs trained by
a two time-scale update rule converge to a local Nash equilibrium", NeurIPS 2017). The weights are TensorFlow's
inception-2015-12-05, converted by mseitzer (pytorch-fid) and handed out again by torch-fidelity; input (x - 128) / 128.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import (
    BasicConv2d,
    InceptionA,
    InceptionB,
    InceptionC,
    InceptionD,
    InceptionE_1,
    InceptionE_2,
)

from imprimatur_evaluators.backbones.catalogue import Entry
from imprimatur_evaluators.backbones.network import Network
from imprimatur_evaluators.backbones.state_dict import assembled, state_dict_of

WIDTH = 2048


class Inception2015(nn.Sequential):
    """From input [n, 3, 299, 299] to pool3 [n, 2048]; layers have the names of the published file."""

    def __init__(self) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {
            "Conv2d_1a_3x3": BasicConv2d(3, 32, kernel_size=3, stride=2),
            "Conv2d_2a_3x3": BasicConv2d(32, 32, kernel_size=3),
            "Conv2d_2b_3x3": BasicConv2d(32, 64, kernel_size=3, padding=1),
            "MaxPool_1": nn.MaxPool2d(kernel_size=3, stride=2),
            "Conv2d_3b_1x1": BasicConv2d(64, 80, kernel_size=1),
            "Conv2d_4a_3x3": BasicConv2d(80, 192, kernel_size=3),
            "MaxPool_2": nn.MaxPool2d(kernel_size=3, stride=2),
            "Mixed_5b": InceptionA(192, pool_features=32),
            "Mixed_5c": InceptionA(256, pool_features=64),
            "Mixed_5d": InceptionA(288, pool_features=64),
            "Mixed_6a": InceptionB(288),
            "Mixed_6b": InceptionC(768, channels_7x7=128),
            "Mixed_6c": InceptionC(768, channels_7x7=160),
            "Mixed_6d": InceptionC(768, channels_7x7=160),
            "Mixed_6e": InceptionC(768, channels_7x7=192),
            "Mixed_7a": InceptionD(768),
            "Mixed_7b": InceptionE_1(1280),
            "Mixed_7c": InceptionE_2(WIDTH),
            "AvgPool": nn.AdaptiveAvgPool2d(output_size=(1, 1)),
            "Flatten": nn.Flatten(),
        }
        for name, layer in layers.items():
            self.add_module(name, layer)


class InceptionBackbone(Network):
    """Features [n, 2048] as they leave the last pooling, not scaled."""

    unit_length = False

    @property
    def width(self) -> int:
        """2048."""
        return WIDTH

    def _embedded(self, batch: Tensor) -> Tensor:
        features: Tensor = self._module(batch)
        return features


def load(entry: Entry, weights: bytearray, device: str) -> InceptionBackbone:
    """The backbone with these weights; BadWeights 'weights-do-not-fit'."""
    state = {name: tensor for name, tensor in state_dict_of(entry, weights).items() if not name.startswith("fc.")}
    return InceptionBackbone(entry, assembled(entry, Inception2015, state), device, channels_last=True)
