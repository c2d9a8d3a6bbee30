"""The training process as the demo starts it: what it prints, writes, records and registers, after very few steps."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from imprimatur.core.digests import digest_of_file
from imprimatur.costs.model import Rates
from imprimatur.demo.course import Meter
from imprimatur.demo.recording import Recorder, code_commit
from imprimatur.demo.train import show
from imprimatur_evaluators.backbones import Catalogue
from registry_server import RegistryServer, serving_registry

_ASK = """
import json, mlflow
client = mlflow.MlflowClient()
versions = sorted(client.search_model_versions("name='digits'"), key=lambda one: int(one.version))
experiment = client.get_experiment_by_name("digits")
runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
losses = client.get_metric_history(runs["base"].info.run_id, "loss")
info = mlflow.models.get_model_info("models:/digits/2")
print(json.dumps({
    "versions": [[one.version, one.run_id] for one in versions],
    "runs": {name: {"id": run.info.run_id, "status": run.info.status, "params": run.data.params,
                    "metrics": run.data.metrics, "tags": run.data.tags} for name, run in runs.items()},
    "losses": [[one.step, one.value] for one in losses],
    "lineage": info.metadata["imprimatur"],
}))
"""


@dataclass(frozen=True)
class Finished:
    """A training process that ended well: its document, its events, and what the server then knew."""

    document: dict[str, Any]
    events: list[dict[str, Any]]
    known: dict[str, Any]
    out: Path
    weights: Path

    def bytes_of(self, version: str, part: str) -> str:
        return digest_of_file(next((self.out / version / part).glob("*.safetensors")))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    with serving_registry(tmp_path_factory.mktemp("home")) as running:
        yield running


@pytest.fixture(scope="module")
def finished(server: RegistryServer, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("training")
    out, weights = folder / "out", folder / "weights"
    words = ["--out", str(out), "--weights", str(weights), "--seed", "3", "--steps-scale", "0.004"]
    done = subprocess.run(
        [sys.executable, "-m", "imprimatur.demo.train", *words, "--tracking", server.address],
        env=server.environment("ana"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    return Finished(json.loads(done.stdout), events, server.run(_ASK), out, weights)


def test_each_step_says_how_far_it_is(finished: Finished) -> None:
    last = {event["step"]: event for event in finished.events}

    steps = ["Train backbone", "Train autoencoder", "Train base", "Train memoriser", "Train skewed"]
    assert list(last) == steps
    assert all(event["done"] == event["total"] >= 1 for event in last.values())
    assert all(isinstance(event["loss"], float) for event in finished.events)


def test_the_three_are_registered_in_their_order_from_their_runs(finished: Finished) -> None:
    runs = finished.document["runs"]

    assert [(run["name"], run["version"]) for run in runs] == [("base", 1), ("memoriser", 2), ("skewed", 3)]
    assert [[int(number), run] for number, run in finished.known["versions"]] == [
        [1, runs[0]["run_id"]],
        [2, runs[1]["run_id"]],
        [3, runs[2]["run_id"]],
    ]


def test_every_training_is_a_run_with_parameters_data_device_seconds_and_cost(finished: Finished) -> None:
    runs = finished.known["runs"]
    training = digest_of_file(finished.out / "datasets" / "training.parquet")

    assert set(runs) == {"base", "memoriser", "skewed", "digits-clip"}
    for run in runs.values():
        assert run["status"] == "FINISHED"
        assert run["params"]["seed"] == "3"
        assert run["params"]["device"]
        assert run["params"]["threads"] == "1"
        assert run["tags"]["data.digits-training"] == training
        assert run["metrics"]["seconds"] > 0
        assert run["metrics"]["cost_EUR"] > 0
    assert runs["base"]["params"]["denoiser_batch"] == "32"
    assert runs["skewed"]["params"]["favoured"] == "3,8"


def test_the_losses_are_kept_step_by_step(finished: Finished) -> None:
    losses = finished.known["losses"]
    steps = int(finished.known["runs"]["base"]["params"]["denoiser_steps"])

    assert [step for step, _ in losses] == list(range(1, steps + 1))
    assert finished.document["runs"][0]["final_loss"] == pytest.approx(losses[-1][1])


def test_a_fine_tune_says_what_it_was_made_from(finished: Finished) -> None:
    lineage = finished.known["lineage"]
    protected = digest_of_file(Path(finished.document["datasets"]["protected"]))

    assert lineage["base_model"] == finished.bytes_of("base", "unet")
    assert {used["name"]: used["licence"] for used in lineage["datasets"]} == {
        "digits-training": "CC-BY-4.0",
        "digits-protected": "All rights reserved (demo)",
    }
    assert lineage["datasets"][1]["digest"] == protected
    assert lineage["run_id"] == finished.document["runs"][1]["run_id"]
    assert lineage["seconds"] == pytest.approx(finished.document["runs"][1]["seconds"], abs=0.01)
    assert lineage["code_commit"] == code_commit()


@pytest.mark.parametrize("part", ["vae", "text_encoder"])
def test_fine_tunes_keep_every_byte_of_what_did_not_learn(finished: Finished, part: str) -> None:
    assert len({finished.bytes_of(version, part) for version in ("base", "memoriser", "skewed")}) == 1


def test_fine_tunes_have_denoisers_of_their_own(finished: Finished) -> None:
    assert len({finished.bytes_of(version, "unet") for version in ("base", "memoriser", "skewed")}) == 3


def test_the_backbone_is_in_the_catalogue_with_its_rights(finished: Finished) -> None:
    entry = Catalogue(finished.weights).verify("digits-clip")

    assert entry.digest == finished.document["backbone"]["digest"]
    assert entry.licence == "CC-BY-4.0"
    assert "UCI" not in entry.licence
    assert "seed 3" in entry.source
    assert 0 <= finished.document["backbone"]["accuracy"] <= 1


def test_the_datasets_are_named_by_their_kinds(finished: Finished) -> None:
    paths = finished.document["datasets"]

    assert set(paths) == {"prompts", "reference", "calibration", "protected"}
    assert all(Path(path).is_file() for path in paths.values())


def test_a_failed_training_is_a_failed_run(server: RegistryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environment("ana").items():
        monkeypatch.setenv(name, value)
    import mlflow

    recorder = Recorder(server.address, Rates(0.2, 2.5, "EUR"), "cpu")
    with pytest.raises(ArithmeticError), recorder.run("broken", {}, {}) as recording:
        raise ArithmeticError("the loss is no number")

    assert recording.run_id is not None
    assert mlflow.MlflowClient(server.address).get_run(recording.run_id).info.status == "FAILED"


def test_progress_is_printed_seldom_but_always_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    meter: Meter = show
    losses: list[float] = []
    watch = meter("Train", losses)

    for done in range(1, 501):
        watch(done, 500, 0.5)

    printed = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert len(losses) == 500
    assert len(printed) < 100
    assert printed[-1] == {"step": "Train", "done": 500, "total": 500, "loss": 0.5}
