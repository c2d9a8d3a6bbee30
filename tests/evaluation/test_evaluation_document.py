"""Suite documents: read strictly, and what is wrong is said with its place."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

import pytest
import yaml

from evaluation_stage import SUITE
from imprimatur.core.errors import BadInput
from imprimatur.evaluation.document import from_document, parse
from imprimatur.evaluation.model import ImageSet


def test_a_suite_says_what_is_made_and_measured() -> None:
    suite = parse(SUITE)

    assert (suite.name, suite.version, suite.backbone) == ("tiny", 1, "tiny-clip")
    assert (suite.steps, suite.guidance, suite.batch) == (2, 2.0, 4)
    assert suite.sets == (ImageSet("conditional", "conditional", 18), ImageSet("neutral", "neutral", 22))
    assert [metric.name for metric in suite.metrics][-2:] == ["disparity/tiny-clip", "similarity/tiny-clip"]
    assert suite.backbones == ("tiny-clip",)
    assert suite.metrics[-1].options == {"false_positive_rate": 0.01}


def test_the_digest_is_the_documents_and_not_the_texts() -> None:
    spaced = "# a comment\n" + SUITE.replace(
        "metadata: {name: tiny, version: 1}", "metadata:\n  version: 1\n  name: tiny"
    )

    assert parse(spaced).digest == parse(SUITE).digest
    assert from_document(parse(SUITE).document) == parse(SUITE)
    assert parse(SUITE.replace("steps: 2", "steps: 3")).digest != parse(SUITE).digest


def test_a_metric_may_name_its_own_backbone_or_a_published_score() -> None:
    suite = parse(
        SUITE.replace(
            "name: frechet, images: conditional", "name: frechet, images: conditional, backbone: other"
        ).replace("name: kernel, images", "name: kid, images")
    )

    assert [metric.name for metric in suite.metrics][:2] == ["frechet/other", "kid"]
    assert suite.backbones == ("inception-2015", "other", "tiny-clip")


def test_the_demos_suite_is_readable() -> None:
    suite = parse((files("imprimatur.demo") / "digits-suite.yaml").read_text())

    assert [metric.statistic for metric in suite.metrics] == [
        "frechet",
        "kernel",
        "density",
        "coverage",
        "alignment",
        "disparity",
        "similarity",
    ]
    target = next(metric.options["target"] for metric in suite.metrics if metric.statistic == "disparity")
    assert isinstance(target, Mapping)
    assert set(target.values()) == {0.1}


@pytest.mark.parametrize(
    ("found", "replacement", "place"),
    [
        ("kind: EvaluationSuite", "kind: Policy", "kind: got 'Policy' (expected 'EvaluationSuite')"),
        ("apiVersion: imprimatur/v1\n", "", "apiVersion: this key is missing"),
        ("backbone:", "backbones:", "backbones: this key is not known"),
        ("steps: 2,", "steps: 2, stepps: 2,", "generation.stepps: this key is not known"),
        ("steps: 2", "steps: two", "generation.steps: got 'two' (expected an integer from 1 to 1,000)"),
        ("steps: 2", "steps: true", "generation.steps: got True (expected an integer"),
        ("steps: 2", "steps: 0", "generation.steps: got 0 (expected an integer"),
        ("guidance: 2.0", "guidance: .nan", "found .nan (expected a finite number)"),
        ("guidance: 2.0", "guidance: .inf", "found .inf (expected a finite number)"),
        ("guidance: 2.0", "guidance: 2.0, guidance: 3.0", "found the key 'guidance' twice"),
        ("version: 1", "version: 1.5", "metadata.version: got 1.5 (expected an integer"),
        ("name: tiny,", "name: Tiny Suite,", "metadata.name: got 'Tiny Suite'"),
        (", protected: protected", "", "datasets.protected: this key is missing"),
        ("images_per_prompt: 18", "images_per_prompt: -1", "sets.conditional.images_per_prompt: got -1"),
        ("  neutral: {", "  all: {", "sets.all: got a mapping with group, images_per_prompt (expected another name"),
        (
            "name: frechet, images: conditional",
            "name: fidelity, images: conditional",
            "metrics[0].name: got 'fidelity'",
        ),
        (
            "name: frechet, images: conditional",
            "name: fid, images: conditional, backbone: tiny-clip",
            "metrics[0].backbone: got 'tiny-clip' (expected nothing: fid is measured on inception-2015)",
        ),
        ("name: frechet, images: conditional", "name: frechet, images: none", "metrics[0].images: got 'none'"),
        ("name: kernel", "name: frechet", "metrics[1].name: got 'frechet/tiny-clip' (expected each metric once)"),
        ("name: kernel,", "name: kernel, k: 3,", "metrics[1].k: this key is not known"),
        ('"1": 0.5', '"1": 0.6', "metrics[5].target: got a mapping with 0, 1 (expected shares that add up to 1"),
        (', target: {"0": 0.5, "1": 0.5}', "", "metrics[5].target: this key is missing"),
        ("false_positive_rate: 0.01", "false_positive_rate: 0.9", "metrics[6].false_positive_rate: got 0.9"),
        ("backbone: tiny-clip", "backbone: &b tiny-clip", "found an anchor or alias"),
        ("backbone: tiny-clip", "backbone: !!python/name:os.system x", "found the tag"),
        (
            "metadata: {name: tiny, version: 1}",
            "metadata: [tiny]",
            "metadata: got a list of 1 items (expected a mapping",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(found: str, replacement: str, place: str) -> None:
    assert found in SUITE

    with pytest.raises(BadInput) as caught:
        parse(SUITE.replace(found, replacement, 1))

    assert caught.value.code == "bad-suite"
    assert place in caught.value.message


@pytest.mark.parametrize("text", ["", "just text", "- a\n- b", "a: [", "\x00", "a: 1\n---\nb: 2", "{}"])
def test_what_is_no_suite_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as caught:
        parse(text)
    assert caught.value.code == "bad-suite"


def test_every_key_but_the_description_is_needed() -> None:
    whole = yaml.safe_load(SUITE)
    for key in whole:
        with pytest.raises(BadInput, match="this key is missing"):
            from_document({name: value for name, value in whole.items() if name != key})
