"""Runs: what they measure, what they leave behind, and that nothing but the inputs decides the outcome."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

from evaluation_stage import ENGINEER, SUITE, Stage, add_unsealed, fill, open_stage
from imprimatur.access.model import Principal, Role
from imprimatur.audit.service import AuditLog
from imprimatur.core.database import Database
from imprimatur.core.errors import Conflict, Fault, Forbidden, ImprimaturError, NotFound, Tampered
from imprimatur.core.settings import Settings
from imprimatur.costs.model import Kind
from imprimatur.datasets.parquet import build
from imprimatur.evaluation.model import MOST_TAKEOVERS, Evaluation, Findings, Status, digest_of
from imprimatur.registry.service import ARTIFACT_TYPE


def _run(stage: Stage, seed: int = 0) -> Evaluation:
    return stage.evaluations.run(stage.evaluations.request(ENGINEER, "tiny", 1, "tiny", seed).id)


def test_a_run_measures_every_metric_with_an_interval(stage: Stage) -> None:
    run = _run(stage)

    assert run.status is Status.COMPLETE
    names = ["alignment", "coverage", "density", "disparity", "frechet", "kernel", "similarity"]
    assert [score.name for score in run.scores] == [f"{name}/tiny-clip" for name in names]
    assert all(score.ci_low <= score.value <= score.ci_high for score in run.scores)
    assert {score.name: score.n for score in run.scores}["similarity/tiny-clip"] == 58
    assert (run.done, run.total, run.device, run.attempts) == (58, 58, "cpu", 1)
    assert run.build.startswith("imprimatur ")
    assert stage.evaluations.latest(run.version_id) == run


def test_a_run_shows_its_evidence(stage: Stage) -> None:
    evidence = _run(stage, seed=7).evidence

    assert evidence["samples"]["seed"] == 7
    assert len(evidence["samples"]["images"]) == 24
    assert len({(image["prompt"], image["seed"]) for image in evidence["samples"]["images"]}) == 24
    assert len(evidence["worst"]) == len(evidence["pairs"]) == 12
    margins = [image["margin"] for image in evidence["worst"]]
    assert margins == sorted(margins)
    similarities = [pair["similarity"] for pair in evidence["pairs"]]
    assert similarities == sorted(similarities, reverse=True)
    assert {pair["owner"] for pair in evidence["pairs"]} <= {"Ada", "Bo"}
    assert evidence["pairs"][0].keys() >= {"work_blob", "title", "owner", "licence", "source", "above", "prompt"}
    assert sum(evidence["similarity"]["generated"]) == evidence["similarity"]["n"] == 58
    assert sum(evidence["similarity"]["held_out"]) == 120
    (balance,) = evidence["balance"]
    assert (balance["prompt"], balance["labels"], sum(balance["counts"])) == ("a handwritten digit", ["0", "1"], 22)
    assert evidence["datasets"] == {
        role: stage.datasets.get(role).digest for role in ("prompts", "reference", "calibration", "protected")
    }


def test_evidence_images_can_be_looked_at_and_nothing_else(stage: Stage) -> None:
    run = _run(stage)

    for entry in (*run.evidence["samples"]["images"], *run.evidence["worst"], *run.evidence["pairs"]):
        with Image.open(BytesIO(stage.evaluations.evidence_image(entry["blob"]))) as image:
            assert image.size == (16, 16)
    work = stage.evaluations.evidence_image(run.evidence["pairs"][0]["work_blob"])
    assert work in stage.datasets.table(stage.datasets.get("protected")).column("image").to_pylist()
    with pytest.raises(NotFound, match="No evaluation shows"):
        stage.evaluations.evidence_image(stage.datasets.get("reference").digest)


def test_a_run_is_audited_and_paid_for(stage: Stage) -> None:
    run = _run(stage)

    actions = [event.action for event in stage.log.recent(subject="tiny/1")]
    assert actions == ["evaluation.completed", "evaluation.requested"]
    assert stage.log.recent(subject="tiny/1")[0].detail["digest"] == run.digest
    (usage,) = stage.ledger.entries("tiny")
    assert (usage.reference, usage.kind, usage.team) == (f"evaluation:{run.id}", Kind.EVALUATION, "imaging")
    assert usage.seconds == pytest.approx(run.seconds)
    assert usage.images == 58


def test_the_same_inputs_give_the_same_digest_and_another_seed_another(stage: Stage, tmp_path: Path) -> None:
    first = _run(stage)

    again = stage.evaluations.request(ENGINEER, "tiny", 1, "tiny")
    second = stage.with_features(tmp_path / "elsewhere").run(again.id)
    other = _run(stage, seed=1)

    assert first.id != second.id
    assert (first.scores, first.digest) == (second.scores, second.digest)
    assert other.digest != first.digest
    assert other.evidence["samples"] != first.evidence["samples"]


def test_a_run_is_the_same_on_either_database(
    any_database: Database, settings: Settings, model_folder: Path, backbone_file: Path
) -> None:
    stage = open_stage(settings, AuditLog(any_database))
    fill(stage, model_folder, backbone_file)

    run = _run(stage, seed=2**31 - 1)

    assert (run.status, run.done, len(run.scores)) == (Status.COMPLETE, 58, 7)
    assert stage.evaluations.get(run.id) == run
    assert run.digest == digest_of(run, Findings(run.scores, run.evidence, run.build, run.device))


def test_the_size_of_a_shard_decides_nothing(stage: Stage) -> None:
    stage.evaluations.add_suite(ENGINEER, SUITE.replace("name: tiny,", "name: wide,").replace("batch: 4", "batch: 7"))
    narrow = _run(stage)

    wide = stage.evaluations.run(stage.evaluations.request(ENGINEER, "tiny", 1, "wide").id)

    for one, other in zip(narrow.scores, wide.scores, strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-3, abs=1e-4)
    assert [image["seed"] for image in narrow.evidence["samples"]["images"]] == [
        image["seed"] for image in wide.evidence["samples"]["images"]
    ]


def test_finished_shards_are_not_made_again(stage: Stage) -> None:
    _run(stage)
    before = stage.shards()

    _run(stage)

    assert len(before) == 2 * 5 + 6
    assert stage.shards() == before


def test_an_unreadable_shard_is_made_again(stage: Stage) -> None:
    first = _run(stage)
    path = next(iter(stage.shards()))
    path.write_bytes(path.read_bytes()[:100])

    assert _run(stage).digest == first.digest


def test_a_file_changed_after_sealing_fails_the_run(stage: Stage) -> None:
    version = stage.registry.version("tiny", 1)
    assert version.manifest_digest is not None
    file = next(f for f in stage.store.manifest(version.manifest_digest).files if f.path.endswith(".safetensors"))
    path = stage.store.blob_path(file.digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    run = stage.evaluations.request(ENGINEER, "tiny", 1, "tiny")

    with pytest.raises(Tampered) as caught:
        stage.evaluations.run(run.id)

    assert caught.value.code == "file-changed"
    failed = stage.evaluations.get(run.id)
    assert failed.status is Status.FAILED
    assert failed.error is not None
    assert failed.error.startswith("file-changed: ")
    assert file.path in failed.error
    assert stage.log.recent(subject="tiny/1")[0].action == "evaluation.failed"
    assert stage.evaluations.latest(version.id) is None
    assert not list((stage.settings.features / "scratch").iterdir())


def test_an_unknown_backbone_fails_the_run_with_its_code(stage: Stage) -> None:
    stage.evaluations.add_suite(ENGINEER, SUITE.replace("name: tiny,", "name: lost,").replace("tiny-clip", "no-clip"))
    run = stage.evaluations.request(ENGINEER, "tiny", 1, "lost")

    with pytest.raises(ImprimaturError) as caught:
        stage.evaluations.run(run.id)

    assert caught.value.code == "no-such-backbone"
    assert stage.evaluations.get(run.id).status is Status.FAILED


def test_an_ended_run_is_not_worked_again(stage: Stage) -> None:
    run = _run(stage)

    assert stage.evaluations.run(run.id) == run
    assert len(stage.log.recent(subject="tiny/1")) == 2


def test_a_worker_that_lost_its_run_can_not_end_it(stage: Stage) -> None:
    run = stage.evaluations.request(ENGINEER, "tiny", 1, "tiny")
    slow = stage.evaluations._begin(run.id, "slow")
    stage.evaluations._begin(run.id, "quick")

    with pytest.raises(Conflict) as caught:
        stage.evaluations._advance(slow, 4, 1.0)
    assert caught.value.code == "run-taken-over"
    stage.evaluations._fail(slow, caught.value, 1.0)

    assert (stage.evaluations.get(run.id).status, stage.evaluations.get(run.id).worker) == (Status.RUNNING, "quick")


def test_a_run_that_kills_its_workers_is_given_up(stage: Stage) -> None:
    run = stage.evaluations.request(ENGINEER, "tiny", 1, "tiny")
    for _ in range(MOST_TAKEOVERS + 1):
        stage.evaluations._begin(run.id, "doomed")

    with pytest.raises(Fault) as caught:
        stage.evaluations.run(run.id)

    assert caught.value.code == "worker-died"
    assert stage.evaluations.get(run.id).status is Status.FAILED


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        (lambda s: s.evaluations.request(ENGINEER, "none", 1, "tiny"), "no-such-model"),
        (lambda s: s.evaluations.request(ENGINEER, "tiny", 9, "tiny"), "no-such-version"),
        (lambda s: s.evaluations.request(ENGINEER, "tiny", 2, "tiny"), "not-sealed"),
        (lambda s: s.evaluations.request(ENGINEER, "tiny", 1, "none"), "no-such-suite"),
        (lambda s: s.evaluations.request(ENGINEER, "tiny", 1, "tiny@2"), "no-such-suite"),
        (lambda s: s.evaluations.request(ENGINEER, "tiny", 1, "tiny@new"), "bad-suite-name"),
        (lambda s: s.evaluations.request(ENGINEER, "tiny", 1, "tiny", -1), "bad-seed"),
        (lambda s: s.evaluations.request(ENGINEER, "tiny", 1, "tiny", 2**31), "bad-seed"),
    ],
)
def test_requests_are_refused_with_a_code_and_audited(
    stage: Stage, ask: Callable[[Stage], Evaluation], code: str
) -> None:
    add_unsealed(stage, 2)

    with pytest.raises(ImprimaturError) as caught:
        ask(stage)

    assert caught.value.code == code
    event = stage.log.recent(limit=1)[0]
    assert (event.action, event.detail["code"]) == ("evaluation.request.refused", code)
    assert stage.evaluations.open_runs() == {}


def test_an_application_may_not_evaluate(stage: Stage) -> None:
    with pytest.raises(Forbidden):
        stage.evaluations.request(Principal("app", frozenset({Role.APPLICATION}), "x"), "tiny", 1, "tiny")


def test_an_open_run_is_not_queued_twice(stage: Stage) -> None:
    first = stage.evaluations.request(ENGINEER, "tiny", 1, "tiny")

    assert stage.evaluations.request(ENGINEER, "tiny", 1, "tiny").id == first.id
    assert stage.evaluations.request(ENGINEER, "tiny", 1, "tiny", 1).id != first.id


def test_a_dataset_of_the_wrong_kind_is_refused(stage: Stage) -> None:
    text = SUITE.replace("name: tiny,", "name: mixed,").replace("protected: protected", "protected: calibration")
    stage.evaluations.add_suite(ENGINEER, text)

    with pytest.raises(ImprimaturError) as caught:
        stage.evaluations.request(ENGINEER, "tiny", 1, "mixed")
    assert caught.value.code == "wrong-dataset"


def test_datasets_are_pinned_when_the_run_is_requested(stage: Stage) -> None:
    run = stage.evaluations.request(ENGINEER, "tiny", 1, "tiny")
    other = build({"prompt": ["a digit"], "label": [""], "group": ["conditional"]})
    stage.datasets.add(
        ENGINEER, name="prompts", kind="prompts", parquet=other, owner="us", licence="CC0-1.0", source="random"
    )

    done = stage.evaluations.run(run.id)

    assert done.evidence["datasets"]["prompts"] != stage.datasets.get("prompts").digest
    assert done.total == done.done == 58


def test_suites_are_kept_by_name_and_version(stage: Stage) -> None:
    second = stage.evaluations.add_suite(ENGINEER, SUITE.replace("version: 1", "version: 2"))

    assert stage.evaluations.suite("tiny") == second
    assert stage.evaluations.suite("tiny@1").version == 1
    assert [suite.version for suite in stage.evaluations.suites()] == [2, 1]
    assert stage.evaluations.add_suite(ENGINEER, SUITE).version == 1
    with pytest.raises(Conflict) as caught:
        stage.evaluations.add_suite(ENGINEER, SUITE.replace("guidance: 2.0", "guidance: 3.0"))
    assert caught.value.code == "suite-version-taken"


def test_the_manifest_decides(stage: Stage, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "note").write_text("no pipeline")
    assert (
        stage.store.seal_folder(folder, artifact_type=ARTIFACT_TYPE).digest
        != stage.registry.version("tiny", 1).manifest_digest
    )
