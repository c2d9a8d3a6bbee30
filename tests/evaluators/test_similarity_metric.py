"""The shell of the share of look-alikes merges to what one pass gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from imprimatur_evaluators.metrics import SimilarityShare
from imprimatur_evaluators.statistics.similarity import Threshold, nearest, share_above


@pytest.mark.parametrize("threshold", [0.5, Threshold(0.5, 0.01, 99)])
def test_processes_merge_to_one_pass(threshold: Threshold | float) -> None:
    rng = np.random.default_rng(0)
    images, works = (torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(n, 6)))) for n in (60, 9))
    first, second = SimilarityShare(works, threshold), SimilarityShare(works, threshold)
    first.update(images[:13])
    second.update(images[13:40])
    second.update(images[40:])
    first.merge_state(second)
    whole = share_above(nearest(images, works).similarity, threshold)
    assert float(first.compute()) == whole.value
    assert 0 < whole.value < 1
    first.reset()
    first.update(works)
    assert float(first.compute()) == 1.0
