"""A loaded pipeline as MLflow's pyfunc: prompts in, one file of the pipeline's medium out for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imprimatur.core.errors import BadInput, Fault
from imprimatur.registry.flavor.calling import require_call, subject
from imprimatur.registry.flavor.loading import load_pipeline
from imprimatur.registry.flavor.media import encode

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

_SEEDS = 1 << 63


class PromptedPipeline:
    """Answers each prompt with the bytes of one file; row ``i`` is drawn with the seed ``seed + i``.

    A pipeline that draws classes takes a class's name or number for a prompt; one that takes no prompt at all ignores
    the text. Raises Refused ``no-prompt`` for a pipeline that needs more than that.
    """

    def __init__(self, pipeline: DiffusionPipeline) -> None:
        self.pipeline = pipeline
        self._call = require_call(type(pipeline))

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> list[bytes]:
        """One PNG, animated WebP or WAV for each prompt of a list, or of a data frame's column ``prompt`` (or its only
        one)."""
        given = {name: value for name, value in (params or {}).items() if value is not None}
        chosen = {**self._call.defaults, **given}
        seed = int(chosen.get("seed", 0))
        prompts = _prompts(model_input)
        answers: list[bytes] = []
        for start in range(0, len(prompts), self._call.batch):
            answers += self._draw(prompts[start : start + self._call.batch], seed + start, chosen)
        return answers

    def _draw(self, prompts: list[str], seed: int, chosen: Mapping[str, Any]) -> list[bytes]:
        import torch  # heavy, and absent from the server

        asked = subject(self._call, self.pipeline, prompts)
        generators = [torch.Generator("cpu").manual_seed((seed + i) % _SEEDS) for i in range(len(prompts))]
        with torch.inference_mode(), torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(seed % _SEEDS)  # for schedulers that their pipeline passes no generator
            drawn = self.pipeline(generator=generators, **asked, **self._call.options(chosen))
        answers = encode(self._call.media, drawn, self.pipeline, chosen.get("frames_per_second"))
        if len(answers) != len(prompts):
            raise Fault("wrong-count", f"The pipeline made {len(answers)} of {len(prompts)} things that were asked for")
        return answers


def _load_pyfunc(path: str) -> PromptedPipeline:
    """What ``mlflow.pyfunc.load_model`` calls with the model's data folder."""
    return PromptedPipeline(load_pipeline(Path(path), "auto"))


def _prompts(model_input: Any) -> list[str]:
    columns = getattr(model_input, "columns", None)
    if columns is not None:
        name = "prompt" if "prompt" in columns else columns[0]
        model_input = model_input[name]
    elif isinstance(model_input, str):
        model_input = [model_input]
    elif isinstance(model_input, Mapping):
        model_input = model_input.get("prompt")
    if not isinstance(model_input, Iterable):
        raise BadInput("bad-prompts", f"Got {type(model_input).__name__} (expected a list or a column of prompts)")
    prompts = list(model_input)
    if not all(isinstance(prompt, str) for prompt in prompts):
        raise BadInput("bad-prompts", "Found a prompt that is no text (expected a list or a column of text)")
    return prompts
