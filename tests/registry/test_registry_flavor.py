"""A pipeline saved by the flavor loads again, answers through MLflow, and carries its lineage."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from PIL import Image

from imprimatur.core.errors import BadInput, Refused
from imprimatur.registry.flavor import Lineage, lineage_of, load_pipeline, log_pipeline, save_pipeline

_FEW_STEPS = {"steps": 2, "seed": 3, "guidance": 2.0}


def test_mlflow_serves_a_saved_pipeline_prompt_in_png_out(saved_once: Path) -> None:
    model = mlflow.pyfunc.load_model(str(saved_once))

    images = model.predict(pd.DataFrame({"prompt": ["a handwritten digit", "one"]}), params=_FEW_STEPS)

    assert [Image.open(io.BytesIO(image)).size for image in images] == [(16, 16)] * 2
    assert images == model.predict(["a handwritten digit", "one"], params=_FEW_STEPS)
    assert images != model.predict(["a handwritten digit", "one"], params={**_FEW_STEPS, "seed": 4})


def test_the_parameters_are_those_of_the_pipelines_own_call(saved_once: Path) -> None:
    signature = mlflow.models.Model.load(str(saved_once)).signature

    assert {param.name: param.default for param in signature.params} == {
        **{"seed": 0, "steps": 50, "guidance": 7.5},
        **{"height": None, "width": None},  # the pipeline decides
    }


def test_every_weight_is_safetensors(saved_once: Path) -> None:
    weights = {file.suffix for file in saved_once.rglob("*") if file.stat().st_size > 20_000 and file.is_file()}

    assert weights == {".safetensors"}


def test_the_lineage_is_in_the_folder(saved_once: Path, lineage: Lineage) -> None:
    assert lineage_of(saved_once) == lineage.document()


def test_a_folder_with_files_is_not_overwritten(saved: Path, pipeline: Any) -> None:
    with pytest.raises(BadInput, match="has files in it"):
        save_pipeline(pipeline, saved, lineage=Lineage())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_class_name", "OwnPipeline"),
        ("unet", ["unet.own_module", "OwnModel"]),
        ("unet", ["diffusers_modules", "UNet2DConditionModel"]),
        ("vae", ["os", "system"]),
        ("vae", ["pipelines", "StableDiffusionPipeline"]),
    ],
)
def test_custom_classes_are_not_loaded(saved: Path, name: str, value: object) -> None:
    index = saved / "pipeline" / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_bytes()) | {name: value}))

    with pytest.raises(Refused) as refusal:
        load_pipeline(saved)

    assert refusal.value.code == "custom-code"


def test_logging_registers_a_version_and_names_the_run(
    pipeline: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")

    with mlflow.start_run() as run:
        info = log_pipeline(pipeline, name="pipeline", registered_model_name="digits", lineage=Lineage())

    folder = Path(mlflow.artifacts.download_artifacts("models:/digits/1"))
    assert info.registered_model_version == 1
    assert lineage_of(folder)["run_id"] == run.info.run_id


def test_the_flavor_imports_without_torch() -> None:
    blocked = "import sys; sys.modules.update(dict.fromkeys(['torch', 'diffusers', 'transformers']));"

    subprocess.run([sys.executable, "-c", blocked + "import imprimatur.registry.flavor"], check=True)
