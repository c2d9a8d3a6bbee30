"""Pipelines of many kinds go the whole way: saved, admitted, loaded, called, and served by MLflow in their medium."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow.pyfunc import PyFuncModel
from numpy.typing import NDArray
from PIL import Image

from imprimatur.core.errors import BadInput, Fault, Refused
from imprimatur.registry.admission import admit
from imprimatur.registry.flavor import Lineage, PromptedPipeline, load_pipeline, save_pipeline
from imprimatur.registry.flavor.calling import call_of
from imprimatur.registry.flavor.media import Media, sampling_rate, wav
from imprimatur.registry.stock import stock_classes
from tiny_pipelines import tiny_animatediff, tiny_ddpm, tiny_stable_diffusion, tiny_stable_diffusion_xl
from tiny_transformers import (
    SAMPLING_RATE,
    tiny_dit,
    tiny_flux,
    tiny_pixart,
    tiny_stable_audio,
    tiny_stable_diffusion_3,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),  # diffusers
    pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning"),  # and torch's of its autoencoder
]
_STEPS = {"steps": 2}


@dataclass(frozen=True)
class Kind:
    """A tiny pipeline, two prompts for it and few enough steps, the size of what it makes, and its media type."""

    make: Callable[[Path], Any]
    pipeline: str
    size: tuple[int, ...] = (16, 16)
    media: Media = Media.IMAGE
    prompts: tuple[str, str] = ("a digit", "one")
    params: Mapping[str, Any] = field(default_factory=lambda: _STEPS)


_SMALL = {**_STEPS, "height": 16, "width": 24}
KINDS = {
    "stable diffusion": Kind(tiny_stable_diffusion, "StableDiffusionPipeline"),
    "sdxl": Kind(tiny_stable_diffusion_xl, "StableDiffusionXLPipeline"),
    "sd3": Kind(tiny_stable_diffusion_3, "StableDiffusion3Pipeline"),
    "flux": Kind(tiny_flux, "FluxPipeline", (24, 16), params=_SMALL),
    "pixart": Kind(tiny_pixart, "PixArtAlphaPipeline", (256, 256)),
    "dit": Kind(tiny_dit, "DiTPipeline", prompts=("goldfish", "2")),
    "ddpm": Kind(tiny_ddpm, "DDPMPipeline", (8, 8), prompts=("", "whatever")),
    "animatediff": Kind(
        tiny_animatediff, "AnimateDiffPipeline", (16, 16, 3), Media.VIDEO, params={**_STEPS, "frames": 3}
    ),
    "stable audio": Kind(tiny_stable_audio, "StableAudioPipeline", (2, 256), Media.AUDIO),
}


@dataclass(frozen=True)
class Saved:
    """A kind of pipeline, saved once and served."""

    kind: Kind
    pipeline: Any
    folder: Path
    served: PyFuncModel

    def answers(self, prompts: tuple[str, ...], seed: int) -> list[bytes]:
        """What MLflow serves for ``prompts``."""
        found: list[bytes] = self.served.predict(list(prompts), params={**self.kind.params, "seed": seed})
        return found


@pytest.fixture(scope="module", params=list(KINDS.values()), ids=list(KINDS))
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    kind: Kind = request.param
    folder = tmp_path_factory.mktemp("pipeline")
    pipeline = kind.make(folder / "tokenizers")
    save_pipeline(pipeline, folder / "model", lineage=Lineage())
    return Saved(kind, pipeline, folder / "model", mlflow.pyfunc.load_model(str(folder / "model")))


def _values(data: bytes, media: Media) -> NDArray[np.int64]:
    """What is in the file: [height, width, 3] or [frames, height, width, 3] levels, or [channels, n] samples."""
    if media is Media.AUDIO:
        with wave.open(io.BytesIO(data)) as file:
            assert (file.getframerate(), file.getsampwidth()) == (SAMPLING_RATE, 2)
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
            return samples.reshape(-1, file.getnchannels()).T.astype(np.int64)
    image = Image.open(io.BytesIO(data))
    assert image.get_format_mimetype() == media.value
    frames = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        frames.append(np.asarray(image.convert("RGB"), dtype=np.int64))
    return np.stack(frames) if media is Media.VIDEO else frames[0]


def _size(values: NDArray[np.int64], media: Media) -> tuple[int, ...]:
    if media is Media.AUDIO:
        return values.shape
    frames = values.shape[:-3]
    return (values.shape[-2], values.shape[-3], *frames)


def test_its_folder_is_admitted(saved: Saved) -> None:
    admitted = admit(saved.folder)

    assert admitted.pipeline == saved.kind.pipeline
    assert len(admitted.weight_files) == sum(hasattr(part, "parameters") for part in saved.pipeline.components.values())


def test_the_mlmodel_file_says_which_media_type_comes_out(saved: Saved) -> None:
    assert mlflow.models.Model.load(str(saved.folder)).flavors["imprimatur"]["media_type"] == saved.kind.media.value


def test_the_loaded_pipeline_answers_as_the_one_that_was_saved(saved: Saved) -> None:
    loaded = PromptedPipeline(load_pipeline(saved.folder))

    answers = loaded.predict(list(saved.kind.prompts), {**saved.kind.params, "seed": 5})

    assert answers == PromptedPipeline(saved.pipeline).predict(
        list(saved.kind.prompts), {**saved.kind.params, "seed": 5}
    )
    assert answers == saved.answers(saved.kind.prompts, 5)


def test_mlflow_serves_it_in_its_medium(saved: Saved) -> None:
    answers = [_values(answer, saved.kind.media) for answer in saved.answers(saved.kind.prompts, 5)]

    assert [_size(answer, saved.kind.media) for answer in answers] == [saved.kind.size] * 2
    assert all(len(np.unique(answer)) > 10 for answer in answers)
    assert (answers[0] != answers[1]).any()


def test_row_i_is_drawn_with_the_seed_and_i(saved: Saved) -> None:
    """Arithmetic in batches of another size may move a pixel by a level of 255."""
    first, second = saved.kind.prompts

    together = _values(saved.answers((first, second), 5)[1], saved.kind.media)
    alone = _values(saved.answers((second,), 6)[0], saved.kind.media)
    other = _values(saved.answers((second,), 7)[0], saved.kind.media)

    assert np.abs(together - alone).max() <= 1
    assert np.abs(together - other).max() > 1


def test_the_same_seed_gives_the_same_bytes_whatever_was_drawn_before(saved: Saved) -> None:
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = saved.answers(saved.kind.prompts[:1], 5)
        torch.manual_seed(2)
        assert saved.answers(saved.kind.prompts[:1], 5) == first


def test_drawing_leaves_everybody_elses_random_numbers_alone(saved: Saved) -> None:
    import torch

    before = torch.random.get_rng_state()
    saved.answers(saved.kind.prompts[:1], 5)

    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.fixture(scope="module")
def dit(tmp_path_factory: pytest.TempPathFactory) -> PromptedPipeline:
    folder = tmp_path_factory.mktemp("dit")
    save_pipeline(tiny_dit(folder), folder / "model", lineage=Lineage())
    return PromptedPipeline(load_pipeline(folder / "model"))


def test_a_class_has_a_number_and_names(dit: PromptedPipeline) -> None:
    names = ["2", " 2 ", "white shark", "great white shark, white shark"]

    images = {dit.predict([name], _STEPS)[0] for name in names}

    assert len(images) == 1
    assert images != {dit.predict(["tench"], _STEPS)[0]}


@pytest.mark.parametrize("prompt", ["unicorn", "1000", "-1", "", "tench, goldfish", "1.5"])
def test_what_names_no_class_is_refused(dit: PromptedPipeline, prompt: str) -> None:
    with pytest.raises(BadInput, match="goldfish") as refusal:
        dit.predict([prompt], _STEPS)

    assert refusal.value.code == "unknown-label"


@pytest.mark.parametrize(
    "labels", [["tench"], {"one": "tench"}, {"1": ["os", "system"]}, {"1": {"a": "b"}}, "tench", {"1": 2}]
)
def test_labels_of_another_form_are_refused(tmp_path: Path, labels: object) -> None:
    save_pipeline(tiny_dit(tmp_path), tmp_path / "model", lineage=Lineage())
    index = tmp_path / "model" / "pipeline" / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_bytes()), "id2label": labels}))

    with pytest.raises(Refused) as refusal:
        admit(tmp_path / "model")

    assert refusal.value.code == "bad-model-index"


def test_a_list_of_numbers_is_data_and_no_component(tmp_path: Path) -> None:
    save_pipeline(tiny_dit(tmp_path), tmp_path / "model", lineage=Lineage())
    index = tmp_path / "model" / "pipeline" / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_bytes()), "text_encoder_select_layers": [2, 5]}))

    assert "text_encoder_select_layers" not in admit(tmp_path / "model").components


def test_a_video_plays_at_the_rate_that_was_asked_for(tmp_path: Path) -> None:
    filming = PromptedPipeline(tiny_animatediff(tmp_path))

    video = Image.open(io.BytesIO(filming.predict(["one"], {**_STEPS, "frames": 2, "frames_per_second": 25})[0]))

    video.load()
    assert video.info["duration"] == 40


@pytest.mark.parametrize("rate", [0.0, -8.0])
def test_a_video_at_no_rate_is_refused(tmp_path: Path, rate: float) -> None:
    with pytest.raises(BadInput) as refusal:
        PromptedPipeline(tiny_animatediff(tmp_path)).predict(
            ["one"], {**_STEPS, "frames": 2, "frames_per_second": rate}
        )
    assert refusal.value.code == "bad-rate"


def test_sound_that_is_no_number_is_thrown_away() -> None:
    with pytest.raises(Fault) as fault:
        wav(np.array([0.0, np.nan]), 8000)
    assert fault.value.code == "not-finite"


def test_sound_beyond_full_scale_is_cut_there() -> None:
    with wave.open(io.BytesIO(wav(np.array([0.5, 2.0, -2.0, 0.0]), 8000))) as file:
        assert file.getnchannels() == 1
        assert np.frombuffer(file.readframes(4), "<i2").tolist() == [16384, 32767, -32767, 0]


def test_a_pipeline_that_does_not_say_how_fast_it_plays_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(Fault) as fault:
        sampling_rate(tiny_ddpm(tmp_path))
    assert fault.value.code == "no-sampling-rate"


@pytest.mark.parametrize(
    ("name", "media"),
    [
        ("WanPipeline", Media.VIDEO),
        ("CogVideoXPipeline", Media.VIDEO),
        ("LattePipeline", Media.VIDEO),
        ("AudioLDM2Pipeline", Media.AUDIO),
        ("DanceDiffusionPipeline", Media.AUDIO),
        ("StableCascadeCombinedPipeline", Media.IMAGE),
        ("ConsistencyModelPipeline", Media.IMAGE),
        ("Kandinsky5T2IPipeline", Media.IMAGE),
        ("StableCascadePriorPipeline", None),
        ("StableVideoDiffusionPipeline", None),
        ("MarigoldDepthPipeline", None),
        ("LLaDA2Pipeline", None),
    ],
)
def test_a_pipelines_own_call_says_what_it_answers_with(name: str, media: Media | None) -> None:
    import diffusers

    call = call_of(getattr(diffusers, name))

    assert (call and call.media) == media


def test_a_pipeline_that_a_prompt_does_not_move_is_saved_but_not_served(tmp_path: Path) -> None:
    from diffusers import StableVideoDiffusionPipeline

    from imprimatur.registry.flavor import saving

    model = mlflow.models.Model()
    saving._finish(tmp_path, StableVideoDiffusionPipeline, Lineage(), model)

    assert model.flavors.keys() == {"imprimatur"}
    assert model.flavors["imprimatur"]["media_type"] is None
    with pytest.raises(Refused) as refusal:
        PromptedPipeline(StableVideoDiffusionPipeline.__new__(StableVideoDiffusionPipeline))
    assert refusal.value.code == "no-prompt"


def test_parts_listed_under_a_pipelines_folder_are_found_there_and_nowhere_else() -> None:
    """A name that diffusers does not know as a folder of its own would be imported as a package."""
    from diffusers import pipelines

    for library, classes in stock_classes().items():
        if library not in ("pipelines", "diffusers", "transformers"):
            folder = getattr(pipelines, library)
            assert [name for name in classes if not hasattr(folder, name)] == []
