"""Every declared metric is measured on real digits in one pass, with classifiers and hashes beside embeddings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from imprimatur_evaluators.backbones import Backbone, load
from imprimatur_evaluators.backbones.catalogue import Catalogue
from imprimatur_evaluators.errors import BadRequest, TooFew
from imprimatur_evaluators.images import Pixels
from imprimatur_evaluators.protocols import SPECS
from imprimatur_evaluators.report import Report
from imprimatur_evaluators.statistics.arrays import Array
from imprimatur_evaluators.suite import MetricRequest, References, Sample, measure

from .conftest import WORDS, Digits, PixelBackbone

CAPTIONS = {word: f"a handwritten {word}" for word in WORDS}


class Ink:
    """A classifier of three labels by how much ink a digit has; it is never sure of middling ones."""

    name = "ink"
    weights_digest = identity = "sha256:ink"
    protocol = "mean brightness"
    view = None
    width = 3
    labels = ("little", "middling", "much")

    def features(self, pixels: Sequence[Pixels]) -> Array:
        """Probabilities [n, 3]."""
        brightness = np.array([float(image.mean()) for image in pixels])
        score = -np.square(brightness[:, None] - np.array([65.0, 78.0, 90.0])) / 100
        odds = np.exp(score - score.max(axis=1, keepdims=True))
        probabilities: Array = odds / odds.sum(axis=1, keepdims=True)
        return probabilities


class Taste(PixelBackbone):
    """A preference model: the cosine of image and prompt, ten times."""

    name = "taste"

    def preferences(self, features: Array, prompts: Sequence[str]) -> Array:
        """A preference [n]."""
        liked: Array = 10 * np.einsum("nd,nd->n", features, self.text_features(prompts))
        return liked


@pytest.fixture
def backbones(pixels: PixelBackbone, digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Backbone]:
    pdq = load("pdq", Catalogue(tmp_path_factory.mktemp("no weights")))
    return {"pixels": pixels, "ink": Ink(), "pdq": pdq, "taste": Taste(digits.part(slice(0, 600)))}


@pytest.fixture
def samples(digits: Digits) -> dict[str, Sample]:
    drawn = digits.part(slice(600, 900))
    return {"digits": Sample(drawn.images, drawn.captions)}


@pytest.fixture
def references(digits: Digits) -> References:
    return References(digits.images[1000:1400], digits.images[1100:1797], digits.images[:10])


def _options(statistic: str) -> dict[str, object]:
    if "labels" in SPECS[statistic].options:
        return {"labels": CAPTIONS, "certainty": 0.3}
    return {"false_positive_rate": 0.05} if statistic == "extraction" else {}


def _measured(
    requests: list[MetricRequest],
    samples: dict[str, Sample],
    references: References,
    backbones: dict[str, Backbone],
) -> Report:
    return measure(requests, samples, references, backbones, seed=3)


def _few_captions(samples: dict[str, Sample]) -> dict[str, Sample]:
    """The same images as if three were made for each of a hundred captions."""
    images = samples["digits"].images
    return {**samples, "seeds": Sample(images, [f"caption {row // 3}" for row in range(300)])}


def test_every_metric_has_a_value_in_its_range_and_interval(
    samples: dict[str, Sample], references: References, backbones: dict[str, Backbone]
) -> None:
    requests = [
        MetricRequest(
            f"{name}/{'taste' if name == 'preference' else 'pixels'}",
            "seeds" if name == "extraction" else "digits",
            _options(name),
        )
        for name in SPECS
    ]
    report = _measured(requests, _few_captions(samples), references, backbones)
    assert len(report.scores) == len(SPECS)
    for score, spec in zip(report.scores, SPECS.values(), strict=True):
        assert spec.low <= score.ci_low <= score.value <= score.ci_high <= spec.high, score
        assert "95% interval for" in score.protocol
        assert np.isfinite([score.value, score.ci_low, score.ci_high]).all()


def test_a_classifier_is_plugged_in_like_any_backbone(
    samples: dict[str, Sample], references: References, backbones: dict[str, Backbone]
) -> None:
    options = {"certainty": 0.7}
    requests = [
        MetricRequest(f"{name}/ink", "digits", options)
        for name in ("disparity", "undeterminable", "disparity-by-prompt")
    ]
    report = _measured(requests, samples, references, backbones)
    told = sum(each.n for each in report.balance)
    untold = sum(each.undeterminable for each in report.balance)
    assert told + untold == 300
    assert report.score("undeterminable/ink").value == pytest.approx(untold / 300)
    assert 0 < untold < 300
    assert {each.labels for each in report.balance} == {Ink.labels}
    assert len(report.balance) == 10


def test_a_confusion_matrix_corrects_a_classifier(
    samples: dict[str, Sample], references: References, backbones: dict[str, Backbone]
) -> None:
    perfect = [[50, 0, 0, 0], [0, 50, 0, 0], [0, 0, 50, 0]]
    blurred = [[40, 10, 0, 0], [10, 40, 0, 0], [0, 10, 40, 0]]
    values = [
        _measured(
            [MetricRequest("disparity/ink", "digits", {"confusion": matrix})], samples, references, backbones
        ).scores[0]
        for matrix in (perfect, blurred)
    ]
    assert values[0].value != pytest.approx(values[1].value, abs=1e-3)
    assert all(one.ci_low <= one.value <= one.ci_high for one in values)


def test_a_hash_finds_copies_like_any_backbone(
    digits: Digits, references: References, backbones: dict[str, Backbone]
) -> None:
    copies = np.repeat(digits.images[:10], 5, axis=0)
    report = _measured(
        [MetricRequest("similarity/pdq", "copies")], {"copies": Sample(copies, ["a copy"] * 50)}, references, backbones
    )
    assert report.scores[0].value == 1.0
    assert all(pair.above and pair.p_value <= 0.01 for pair in report.pairs)


def test_a_memoriser_is_extracted(
    digits: Digits, samples: dict[str, Sample], references: References, backbones: dict[str, Backbone]
) -> None:
    again = np.repeat(digits.images[:10], 3, axis=0)
    memorised = Sample(again, [f"caption {row // 3}" for row in range(30)])
    request = MetricRequest("extraction/pixels", "seeds", {"false_positive_rate": 0.05})
    found = _measured([request], {"seeds": memorised}, references, backbones).scores[0]
    innocent = _measured([request], _few_captions(samples), references, backbones).scores[0]
    assert (found.value, found.n) == (1.0, 10)
    assert innocent.value <= 0.05


def test_the_number_of_truncated_prompts_stands_beside_the_score(
    samples: dict[str, Sample], references: References, backbones: dict[str, Backbone]
) -> None:
    report = _measured([MetricRequest("cosine-x100/pixels", "digits")], samples, references, backbones)
    assert report.details["cosine-x100/pixels"]["truncated_prompts"] == 0.0


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("cosine/ink", "no-text-side"),
        ("alignment/pdq", "no-text-side"),
        ("disparity/pdq", "no-labels"),
        ("preference/pixels", "no-preference"),
    ],
)
def test_a_backbone_that_cannot_do_it_is_refused(
    name: str, code: str, samples: dict[str, Sample], references: References, backbones: dict[str, Backbone]
) -> None:
    with pytest.raises(BadRequest) as caught:
        _measured([MetricRequest(name, "digits")], samples, references, backbones)
    assert caught.value.code == code


def test_a_reader_that_is_never_sure_says_so(
    samples: dict[str, Sample], references: References, backbones: dict[str, Backbone]
) -> None:
    with pytest.raises(TooFew, match="in which a label can be told"):
        _measured([MetricRequest("disparity/ink", "digits", {"certainty": 1.0})], samples, references, backbones)


def test_infinity_needs_six_images_a_number(
    digits: Digits, references: References, backbones: dict[str, Backbone]
) -> None:
    few = Sample(digits.images[:95], digits.part(slice(0, 95)).captions)
    with pytest.raises(TooFew, match="needs at least 96 images"):
        _measured([MetricRequest("frechet-infinity/pixels", "few")], {"few": few}, references, backbones)
