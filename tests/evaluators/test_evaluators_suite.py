"""One pass feeds every metric: what is measured on real digits, what does not change it, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imprimatur_evaluators import features
from imprimatur_evaluators.errors import BadRequest, TooFew
from imprimatur_evaluators.features import FeatureCache, image_features
from imprimatur_evaluators.images import Images
from imprimatur_evaluators.report import Report
from imprimatur_evaluators.spec import Direction, Score
from imprimatur_evaluators.suite import MetricRequest, References, Sample, measure

from .conftest import WORDS, Digits, PixelBackbone

CAPTIONS = [f"a handwritten {word}" for word in WORDS]
REQUESTS = [
    MetricRequest("frechet", "digits", backbone="pixels"),
    MetricRequest("kernel", "digits", backbone="pixels"),
    MetricRequest("density", "digits", {"k": 3}, backbone="pixels"),
    MetricRequest("coverage", "digits", backbone="pixels"),
    MetricRequest("alignment", "digits", {"prompts": CAPTIONS}, backbone="pixels"),
    MetricRequest("cosine", "digits", backbone="pixels"),
    MetricRequest(
        "disparity",
        "neutral",
        {"labels": dict(zip(WORDS, CAPTIONS, strict=True)), "target": "uniform"},
        backbone="pixels",
    ),
    MetricRequest("similarity", "digits", {"false_positive_rate": 0.01, "pairs": 5}, backbone="pixels"),
]


@pytest.fixture
def samples(digits: Digits) -> dict[str, Sample]:
    """Real digits in the place of generated ones: a perfect generator."""
    drawn, neutral = digits.part(slice(600, 900)), digits.part(slice(900, 1100))
    return {
        "digits": Sample(drawn.images, drawn.captions),
        "neutral": Sample(neutral.images, ["a handwritten digit"] * 200),
    }


@pytest.fixture
def references(digits: Digits) -> References:
    return References(digits.images[1100:1500], digits.images[1100:1500], digits.images[:10])


def _array(images: object) -> Images:
    assert isinstance(images, np.ndarray)
    return images


def _measured(samples: dict[str, Sample], references: References, pixels: PixelBackbone, **options: Any) -> Report:
    return measure(REQUESTS, samples, references, {"pixels": pixels}, **{"seed": 5, **options})


def test_a_perfect_generator_scores_as_one(
    samples: dict[str, Sample], references: References, pixels: PixelBackbone
) -> None:
    report = _measured(samples, references, pixels)
    assert [score.name for score in report.scores] == [f"{request.name}/pixels" for request in REQUESTS]
    assert report.score("frechet/pixels").ci_low < 0.02
    assert report.score("kernel/pixels").ci_low <= 0.0 <= report.score("kernel/pixels").ci_high + 1e-3
    assert report.score("density/pixels").value == pytest.approx(1, abs=0.15)
    assert report.score("coverage/pixels").value > 0.8
    assert report.score("alignment/pixels").value > 0.75
    assert report.score("disparity/pixels").value < 0.15
    assert report.score("similarity/pixels").ci_low <= 0.01


def test_a_memoriser_is_seen(samples: dict[str, Sample], references: References, pixels: PixelBackbone) -> None:
    copies = np.repeat(_array(references.protected), 20, axis=0)
    report = _measured({**samples, "digits": Sample(copies, CAPTIONS * 20)}, references, pixels)
    score = report.score("similarity/pixels")
    assert (score.value, score.n) == (1.0, 200)
    assert score.ci_low > 0.98
    assert len(report.similarities) == 1
    assert (report.similarities[0].hits, report.similarities[0].expected_false_alarms) == (200, 2.0)
    assert all(pair.above and pair.work == pair.index // 20 for pair in report.pairs)
    assert len(report.pairs) == 5


def test_a_skew_is_seen(
    digits: Digits, samples: dict[str, Sample], references: References, pixels: PixelBackbone
) -> None:
    ones = digits.images[np.isin(digits.labels, [0, 6])][:200]
    report = _measured({**samples, "neutral": Sample(ones, ["a handwritten digit"] * len(ones))}, references, pixels)
    assert report.score("disparity/pixels").ci_low > 0.6
    (balance,) = report.balance
    assert (balance.labels, balance.n, sum(balance.counts)) == (WORDS, len(ones), len(ones))
    assert balance.p_value < 0.01
    assert balance.null_expectation == pytest.approx(0.084, abs=0.001)


def test_order_does_not_change_a_score(
    samples: dict[str, Sample], references: References, pixels: PixelBackbone
) -> None:
    order = np.random.default_rng(1).permutation(300)
    shuffled = Sample(_array(samples["digits"].images)[order], [samples["digits"].prompts[row] for row in order])
    turned = replace(
        references, reference=_array(references.reference)[::-1], calibration=_array(references.reference)[::-1]
    )
    one, other = _measured(samples, references, pixels), _measured({**samples, "digits": shuffled}, turned, pixels)
    assert one.scores == other.scores
    assert one.alignments[int(order[7])].cosine == other.alignments[7].cosine
    assert order[other.pairs[0].index] == one.pairs[0].index


def test_the_cache_does_not_change_a_score(
    samples: dict[str, Sample], references: References, pixels: PixelBackbone, tmp_path: Path
) -> None:
    plain = _measured(samples, references, pixels)
    cold, asked = _measured(samples, references, pixels, cache=FeatureCache(tmp_path)), pixels.asked
    warm = _measured(samples, references, pixels, cache=FeatureCache(tmp_path))
    assert plain.scores == cold.scores == warm.scores
    assert pixels.asked == asked


@pytest.mark.parametrize(("chunk", "workers"), [(1, 1), (7, 3), (1000, 2)])
def test_neither_batches_nor_workers_change_a_score(
    samples: dict[str, Sample],
    references: References,
    pixels: PixelBackbone,
    monkeypatch: pytest.MonkeyPatch,
    chunk: int,
    workers: int,
) -> None:
    plain = _measured(samples, references, pixels)
    monkeypatch.setattr(features, "CHUNK", chunk)
    assert _measured(samples, references, pixels, workers=workers).scores == plain.scores


def test_each_set_is_embedded_once_for_all_metrics(
    samples: dict[str, Sample], references: References, pixels: PixelBackbone, tmp_path: Path
) -> None:
    _measured(samples, references, pixels, cache=FeatureCache(tmp_path))
    assert pixels.asked <= 300 + 200 + 400 + 10


def test_a_score_says_how_it_was_measured(
    samples: dict[str, Sample], references: References, pixels: PixelBackbone
) -> None:
    report = _measured(samples, references, pixels)
    density = report.score("density/pixels")
    assert (density.n, density.direction, density.seed) == (300, Direction.HIGHER, 5)
    assert density.weights_digest == "sha256:pixels"
    assert "k=3" in density.protocol
    assert "8x8 pixels" in density.protocol
    assert "k=5" in report.score("coverage/pixels").protocol
    assert all(Score.parse(score.document()) == score for score in report.scores)
    assert all(score.ci_low <= score.value <= score.ci_high for score in report.scores)


def test_the_evidence_names_images_as_they_were_handed_in(
    samples: dict[str, Sample], references: References, pixels: PixelBackbone
) -> None:
    report = _measured(samples, references, pixels)
    features = image_features(_array(samples["digits"].images), pixels)
    works = image_features(_array(references.protected), pixels)
    for pair in report.pairs:
        assert pair.similarity == pytest.approx(float(features[pair.index] @ works[pair.work]), rel=1e-12)
    assert [one.index for one in report.alignments] == list(range(300))
    wrong = sum(one.margin <= 0 for one in report.alignments)
    assert 1 - wrong / 300 == pytest.approx(report.score("alignment/pixels").value)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (MetricRequest("fidelity", "digits", backbone="pixels"), "unknown-metric"),
        (MetricRequest("fid", "digits"), "no-backbone"),
        (MetricRequest("frechet", "digits"), "no-backbone"),
        (MetricRequest("frechet", "nothing", backbone="pixels"), "unknown-set"),
        (MetricRequest("density", "digits", {"neighbours": 5}, backbone="pixels"), "bad-option"),
        (MetricRequest("density", "digits", {"k": 0}, backbone="pixels"), "bad-option"),
        (MetricRequest("disparity", "neutral", {"labels": ["a handwritten one"]}, backbone="pixels"), "bad-option"),
        (
            MetricRequest("disparity", "neutral", {"labels": CAPTIONS, "target": "fair"}, backbone="pixels"),
            "bad-target",
        ),
        (
            MetricRequest("disparity", "neutral", {"labels": CAPTIONS, "target": [0.5, 0.5]}, backbone="pixels"),
            "bad-target",
        ),
        (MetricRequest("alignment", "neutral", backbone="pixels"), "bad-option"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(
    samples: dict[str, Sample], references: References, pixels: PixelBackbone, request_: MetricRequest, code: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        measure([request_], samples, references, {"pixels": pixels}, seed=0)
    assert caught.value.code == code


def test_the_same_metric_twice_is_refused(
    samples: dict[str, Sample], references: References, pixels: PixelBackbone
) -> None:
    with pytest.raises(BadRequest) as caught:
        measure(
            [
                MetricRequest("cosine", "digits", backbone="pixels"),
                MetricRequest("cosine", "neutral", backbone="pixels"),
            ],
            samples,
            references,
            {"pixels": pixels},
            seed=0,
        )
    assert caught.value.code == "metric-twice"


def test_a_missing_reference_is_named(samples: dict[str, Sample], pixels: PixelBackbone) -> None:
    with pytest.raises(BadRequest, match="protected images") as caught:
        measure([REQUESTS[-1]], samples, References(), {"pixels": pixels}, seed=0)
    assert caught.value.code == "missing-reference"


@pytest.mark.parametrize("metric", ["frechet", "kernel", "density", "coverage", "cosine"])
def test_too_few_images_say_how_many_are_needed(
    samples: dict[str, Sample], references: References, pixels: PixelBackbone, metric: str
) -> None:
    few = Sample(_array(samples["digits"].images)[:12], samples["digits"].prompts[:12])
    with pytest.raises(TooFew, match=r"needs at least \d+ images \(got 12\)"):
        measure(
            [MetricRequest(metric, "digits", backbone="pixels")],
            {"digits": few},
            references,
            {"pixels": pixels},
            seed=0,
        )
