"""The library stands alone, and reads scores and catalogues without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

_BLOCK = """
import sys
from importlib.abc import MetaPathFinder

class Block(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"{{name}} is blocked", name=name)
        return None

sys.meta_path.insert(0, Block())
import {modules}
"""

_WITHOUT_TORCH = (
    "imprimatur_evaluators.spec",
    "imprimatur_evaluators.report",
    "imprimatur_evaluators.suite",
    "imprimatur_evaluators.images",
    "imprimatur_evaluators.features",
    "imprimatur_evaluators.backbones.catalogue",
    "imprimatur_evaluators.backbones.fetching",
    "imprimatur_evaluators.backbones.published",
    "imprimatur_evaluators.statistics.frechet",
    "imprimatur_evaluators.statistics.frechet_estimates",
    "imprimatur_evaluators.statistics.kernel",
    "imprimatur_evaluators.statistics.manifold",
    "imprimatur_evaluators.statistics.alignment",
    "imprimatur_evaluators.statistics.disparity",
    "imprimatur_evaluators.statistics.similarity",
    "imprimatur_evaluators.statistics.background",
    "imprimatur_evaluators.statistics.extraction",
    "imprimatur_evaluators.works",
    "imprimatur_evaluators.backbones.pdq",
)
_WITH_TORCH = (
    "imprimatur_evaluators.backbones.open_clip_model",
    "imprimatur_evaluators.backbones.dinov2",
    "imprimatur_evaluators.backbones.inception",
    "imprimatur_evaluators.backbones.preference",
    "imprimatur_evaluators.backbones.sscd",
    "imprimatur_evaluators.backbones.training",
    "imprimatur_evaluators.metrics",
)


@pytest.mark.parametrize(
    ("blocked", "modules"),
    [
        pytest.param(
            {"torch", "torchvision", "open_clip", "faiss", "pdqhash", "imprimatur"}, _WITHOUT_TORCH, id="without torch"
        ),
        pytest.param({"imprimatur"}, _WITH_TORCH, id="without the platform"),
    ],
)
def test_it_imports(blocked: set[str], modules: tuple[str, ...]) -> None:
    program = _BLOCK.format(blocked=blocked, modules=", ".join(modules))
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_the_block_blocks() -> None:
    program = _BLOCK.format(blocked={"torch"}, modules="torch")
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "torch is blocked" in ended.stderr
