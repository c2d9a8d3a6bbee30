"""What a dossier says of a version: its gaps, its stage, and what its numbers do not cover."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from imprimatur.api.wiring import House
from imprimatur.datasets.model import Dataset, DatasetKind
from imprimatur.registry.model import Stage
from imprimatur.reports.limitations import limitations
from imprimatur.reports.markdown import markdown_of, verdict_of
from imprimatur.reports.model import DataUse

KNOWN = Dataset(
    name="faces",
    kind=DatasetKind.REFERENCE,
    digest="sha256:1",
    owner="",
    licence="",
    source="a drive",
    rows=100,
    added_by="ana",
    added_at=datetime(2026, 11, 1, tzinfo=UTC),
    validation={"passed": False, "expectations": [{"name": "no-empty-captions", "passed": False}]},
)


def test_every_gap_of_a_dataset_is_named() -> None:
    use = DataUse("faces", "training", KNOWN.digest, "", KNOWN)

    assert use.gaps == ("licence not stated", "owner not stated", "expectation not met: no-empty-captions")


def test_a_dataset_that_nobody_catalogued_is_a_gap() -> None:
    assert DataUse("faces", "training", KNOWN.digest, "CC0-1.0", None).gaps == (
        "not in the catalogue: owner and source unknown",
    )


@pytest.mark.parametrize(
    ("version", "stage"), [(1, Stage.RELEASED), (2, Stage.DECIDED), (4, Stage.DECIDED), (6, Stage.REGISTERED)]
)
def test_the_stage_is_how_far_the_version_came(story: House, version: int, stage: Stage) -> None:
    assert story.reports.dossier("digits", version).stage is stage


def test_the_stages_between_are_told_apart(story: House) -> None:
    full = story.reports.dossier("digits", 4)

    evaluated = replace(full, decision=None, releases=())
    submitted = replace(evaluated, evaluation=None)
    sealed = replace(submitted, submission=None)

    assert [each.stage for each in (evaluated, submitted, sealed)] == [Stage.EVALUATED, Stage.SUBMITTED, Stage.SEALED]
    assert verdict_of(evaluated) == "Evaluated, and not decided yet for production."


def test_limitations_say_that_our_own_network_is_no_fid(story: House) -> None:
    said = " ".join(limitations(story.reports.dossier("digits", 1)))

    assert "they are neither FID nor CLIPScore" in said
    assert "digits-protected (8 works) only" in said
    assert "20 steps and guidance 2" in said


def test_production_is_compared_with_others_and_not_with_itself(story: House) -> None:
    assert story.reports.dossier("digits", 1).is_in_production
    assert not story.reports.dossier("digits", 2).is_in_production


def test_markdown_shows_what_people_typed_as_text(story: House) -> None:
    dossier = story.reports.dossier("digits", 1)
    assert dossier.submission is not None
    use = replace(dossier.submission.use, purpose="<script>alert(1)</script> | a | b")

    said = markdown_of(replace(dossier, submission=replace(dossier.submission, use=use)))

    assert "<script>" not in said
    assert "\\| a \\| b" in said
