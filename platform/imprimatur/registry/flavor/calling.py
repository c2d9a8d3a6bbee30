"""How a pipeline is called: what stands for the prompts, and which of our parameters its own call knows."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imprimatur.core.errors import BadInput, Refused
from imprimatur.registry.flavor.media import Media, media_of

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

_SUBJECTS = ("prompt", "class_labels", "batch_size")
_FRAMES_PER_SECOND = 8.0
_TOLD = 5


@dataclass(frozen=True)
class Option:
    """A parameter of ours, whether it is a whole number, and the names that pipelines' calls have for it."""

    name: str
    whole: bool
    arguments: tuple[str, ...]


OPTIONS = (
    Option("steps", True, ("num_inference_steps",)),
    Option("guidance", False, ("guidance_scale",)),
    Option("height", True, ("height",)),
    Option("width", True, ("width",)),
    Option("frames", True, ("num_frames", "video_length")),
    Option("frames_per_second", False, ("frame_rate",)),
    Option("seconds", False, ("audio_length_in_s", "audio_end_in_s", "audio_duration", "audio_duration_s")),
)


@dataclass(frozen=True)
class Call:
    """What pipelines of one class are given, and the medium that they give."""

    media: Media
    subjects: tuple[str, ...]
    arguments: Mapping[str, str]
    defaults: Mapping[str, float | None]

    @property
    def batch(self) -> int:
        """How many rows are drawn at once.

        Films and sounds are large, and pipelines that take labels pass their scheduler no generator, so that the noise
        of one row would depend on the rows beside it.
        """
        return 8 if self.media is Media.IMAGE and "class_labels" not in self.subjects else 1

    def options(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments for those of our ``params`` that are given and that the pipeline's call knows."""
        return {
            self.arguments[name]: value
            for name, value in params.items()
            if name in self.arguments and value is not None
        }


def call_of(kind: type) -> Call | None:
    """How pipelines of class ``kind`` are called with prompts; None where no prompt alone makes them answer.

    A default of None means that the pipeline decides.
    """
    taken = inspect.signature(kind.__call__).parameters
    subjects = tuple(name for name in _SUBJECTS if name in taken)
    needed = [p.name for p in taken.values() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    media = media_of(kind)
    if media is None or not subjects or set(needed) - {"self", *subjects}:
        return None
    arguments = {o.name: name for o in OPTIONS for name in o.arguments if name in taken}
    defaults = {name: _number(taken[argument].default) for name, argument in arguments.items()}
    if media is Media.VIDEO:
        defaults["frames_per_second"] = defaults.get("frames_per_second") or _FRAMES_PER_SECOND
    return Call(media, subjects, arguments, defaults)


def require_call(kind: type) -> Call:
    """As ``call_of``. Raises Refused ``no-prompt`` where no prompt alone makes such a pipeline answer."""
    call = call_of(kind)
    if call is None:
        raise Refused(
            "no-prompt",
            f"{kind.__name__} does not turn a prompt into an image, a video or sound (expected a call that needs no "
            "more than a prompt, a class label or a number); load it with load_pipeline and call it yourself",
        )
    return call


def subject(call: Call, pipeline: DiffusionPipeline, prompts: Sequence[str]) -> dict[str, Any]:
    """What stands for ``prompts`` in the pipeline's call: the prompts, their class labels, or how many there are.

    Raises BadInput ``unknown-label`` for a prompt that names no class of a pipeline that draws classes.
    """
    if "prompt" in call.subjects:
        return {"prompt": list(prompts)}
    found: dict[str, Any] = {"batch_size": len(prompts)} if "batch_size" in call.subjects else {}
    classes = _classes(pipeline)
    if "class_labels" in call.subjects and classes:
        found["class_labels"] = [_label(prompt, getattr(pipeline, "labels", {}), classes) for prompt in prompts]
    return found


def _label(prompt: str, labels: Mapping[str, int], classes: int) -> int:
    """The class that ``prompt`` names, by its number or by one or more of its names, as ImageNet lists them."""
    text = prompt.strip()
    if text.isdecimal() and int(text) < classes:
        return int(text)
    found = {labels.get(name.strip()) for name in text.split(",")}
    label = found.pop()
    if found or label is None:
        known = ", ".join(repr(name) for name in list(labels)[:_TOLD]) or "none has a name"
        raise BadInput(
            "unknown-label",
            f"{prompt!r} names no class of this model (expected a number from 0 to {classes - 1}, or a name: {known}"
            f"{', ...' if len(labels) > _TOLD else ''})",
        )
    return label


def _classes(pipeline: Any) -> int:
    for part, name in (("transformer", "num_embeds_ada_norm"), ("unet", "num_class_embeds")):
        count = getattr(getattr(getattr(pipeline, part, None), "config", None), name, None)
        if isinstance(count, int):
            return count
    return 0


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
