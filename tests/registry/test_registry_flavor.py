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
from huggingface_hub import constants, get_session
from huggingface_hub.errors import OfflineModeIsEnabled
from PIL import Image
from safetensors.torch import load_file, save_file

from imprimatur.core.errors import BadInput, Refused
from imprimatur.registry.environment import offline
from imprimatur.registry.flavor import Lineage, lineage_of, load_pipeline, log_pipeline, save_pipeline
from tiny_pipelines import tiny_stable_diffusion

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


@pytest.mark.parametrize(
    ("part", "tensor"),
    [
        ("text_encoder/model", "token_embedding.weight"),
        ("text_encoder/model", "final_layer_norm.bias"),
        ("unet/diffusion_pytorch_model", "conv_in.weight"),
        ("vae/diffusion_pytorch_model", "decoder.conv_out.bias"),
    ],
)
def test_weights_that_the_folder_lacks_are_not_made_up(saved: Path, part: str, tensor: str) -> None:
    file = saved / "pipeline" / f"{part}.safetensors"
    weights = load_file(file)
    save_file({n: t for n, t in weights.items() if not n.endswith(tensor)}, file, metadata={"format": "pt"})

    with pytest.raises(Refused, match=tensor) as refusal:
        load_pipeline(saved)

    assert len(load_file(file)) < len(weights)
    assert refusal.value.code == "weights-missing"


@pytest.mark.parametrize("part", ["text_encoder/model", "unet/diffusion_pytorch_model"])
def test_weights_of_another_shape_are_refused(saved: Path, part: str) -> None:
    file = saved / "pipeline" / f"{part}.safetensors"
    weights = load_file(file)
    name = max(weights, key=lambda name: weights[name].ndim)
    save_file({**weights, name: weights[name].repeat_interleave(2, 0)}, file, metadata={"format": "pt"})

    with pytest.raises(Refused, match=part.split("/")[0]) as refusal:
        load_pipeline(saved)

    assert refusal.value.code == "weights-do-not-fit"


def test_a_control_network_of_several_is_not_made_up(tmp_path: Path) -> None:
    """diffusers loads such a one as several models, and tells nobody what it found."""
    from diffusers import ControlNetModel, MultiControlNetModel, StableDiffusionControlNetPipeline

    whole = tiny_stable_diffusion(tmp_path / "tokenizer")
    nets = [ControlNetModel.from_unet(whole.unet) for _ in range(2)]
    pipeline = StableDiffusionControlNetPipeline(
        **{**whole.components, "controlnet": MultiControlNetModel(nets)}, requires_safety_checker=False
    )
    pipeline.save_pretrained(tmp_path / "model", safe_serialization=True)
    assert len(load_pipeline(tmp_path / "model").controlnet.nets) == 2
    file = tmp_path / "model" / "controlnet_1" / "diffusion_pytorch_model.safetensors"
    save_file({n: t for n, t in load_file(file).items() if n != "conv_in.weight"}, file, metadata={"format": "pt"})

    with pytest.raises(Refused, match=r"conv_in\.weight") as refusal:
        load_pipeline(tmp_path / "model")

    assert refusal.value.code == "weights-missing"


def test_settings_that_old_tokenizers_left_behind_lead_nowhere(saved: Path, tmp_path: Path) -> None:
    other = tiny_stable_diffusion(tmp_path / "vocabulary").tokenizer
    other.add_tokens(["digit"])
    other.save_pretrained(tmp_path / "other")
    file = saved / "pipeline" / "tokenizer" / "tokenizer_config.json"
    before = load_pipeline(saved).tokenizer("a digit").input_ids
    left = {
        "name_or_path": str(tmp_path / "other"),
        "tokenizer_file": str(tmp_path / "other" / "tokenizer.json"),
        "special_tokens_map_file": str(tmp_path / "other" / "tokenizer_config.json"),
        "vocab_file": None,
    }
    file.write_text(json.dumps({**json.loads(file.read_bytes()), **left}))

    assert load_pipeline(saved).tokenizer("a digit").input_ids == before
    assert other("a digit").input_ids != before


def test_nothing_is_asked_of_a_hub_while_a_pipeline_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # as the library would have found it

    with offline(), offline(), pytest.raises(OfflineModeIsEnabled):
        get_session().get("https://huggingface.co/api/models/owner/model")

    assert constants.HF_HUB_OFFLINE is False


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
