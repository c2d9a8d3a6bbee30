"""What a pipeline answers with, and the one container in which each medium is handed out."""

from __future__ import annotations

import inspect
import io
import wave
from collections.abc import Iterable, Sequence
from dataclasses import fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from imprimatur.core.errors import BadInput, Fault

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

_SOUNDING = ("vocoder", "vae", "unet", "transformer")  # never the feature extractor, which listens at a rate of its own
_FULL_SCALE = 32767


class Media(StrEnum):
    """A medium, as the media type of its container: PNG, animated lossless WebP (without sound), 16-bit PCM WAV."""

    IMAGE = "image/png"
    VIDEO = "image/webp"
    AUDIO = "audio/wav"


_OF_FIELD = {"images": Media.IMAGE, "image": Media.IMAGE, "frames": Media.VIDEO, "audios": Media.AUDIO}


def media_of(kind: type) -> Media | None:
    """The medium that pipelines of class ``kind`` answer with; None where it is none of ours, as embeddings are.

    The body of the class's own call names its output class, and the first field of that one the medium. A combined
    pipeline names none: it answers with what its decoder draws.
    """
    from diffusers.utils import BaseOutput  # whoever has a pipeline class has diffusers

    call: Any = inspect.unwrap(kind.__call__)
    code = getattr(call, "__code__", None)
    if code is None:
        return None
    named = [call.__globals__.get(name) for name in code.co_names]
    outputs = [value for value in named if isinstance(value, type) and issubclass(value, BaseOutput)]
    if outputs:
        return _OF_FIELD.get(fields(outputs[0])[0].name)
    return Media.IMAGE if "decoder_pipe" in code.co_names else None


def encode(media: Media, output: Any, pipeline: DiffusionPipeline, frames_per_second: float | None) -> list[bytes]:
    """Each thing in a pipeline's ``output``, as a file of the media type ``media``.

    Raises BadInput ``bad-rate`` for a film at no frames per second; Fault ``not-finite`` for sound that is no number,
    ``no-sampling-rate`` where no part of the pipeline says how fast its sound is to be played.
    """
    field = next(name for name, kind in _OF_FIELD.items() if kind is media and name in output)
    if media is Media.IMAGE:
        return [png(image) for image in output[field]]
    if media is Media.VIDEO:
        if not frames_per_second or frames_per_second <= 0:
            raise BadInput("bad-rate", f"Got {frames_per_second} frames per second (expected more than 0)")
        return [webp(frames, frames_per_second) for frames in output[field]]
    rate = sampling_rate(pipeline)
    return [wav(samples, rate) for samples in output[field]]


def png(image: Image.Image) -> bytes:
    """``image`` as a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def webp(frames: Iterable[Image.Image], frames_per_second: float) -> bytes:
    """``frames`` as an animated WebP file that loses nothing and plays again and again."""
    first, *others = frames
    buffer = io.BytesIO()
    first.save(
        buffer,
        format="WEBP",
        save_all=True,
        append_images=others,
        duration=max(1, round(1000 / frames_per_second)),
        loop=0,
        lossless=True,
        exact=True,
    )
    return buffer.getvalue()


def wav(samples: Any, rate: int) -> bytes:
    """``samples``, [n] or [channels, n] with values from -1 to 1, as a 16-bit PCM WAV file at ``rate`` per second.

    Raises Fault ``not-finite`` for samples that are no numbers.
    """
    sound = _array(samples)
    if not np.isfinite(sound).all():
        raise Fault("not-finite", "The model made sound with values that are no numbers; it was thrown away")
    levels = np.rint(np.clip(np.atleast_2d(sound), -1.0, 1.0) * _FULL_SCALE).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(levels.shape[0])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(levels.T.tobytes())
    return buffer.getvalue()


def sampling_rate(pipeline: Any) -> int:
    """Samples per second of the pipeline's sound. Raises Fault ``no-sampling-rate`` where nothing says so."""
    parts: Sequence[Any] = [pipeline, *(getattr(pipeline, name, None) for name in _SOUNDING)]
    for part in parts:
        config = getattr(part, "config", None) or {}
        for name in ("sampling_rate", "sample_rate"):
            rate = config[name] if name in config else getattr(part, name, None)
            if isinstance(rate, int):
                return rate
    raise Fault(
        "no-sampling-rate",
        f"No part of {type(pipeline).__name__} says how many samples a second has (expected a `sampling_rate` in the "
        f"configuration of one of {', '.join(_SOUNDING)})",
    )


def _array(samples: Any) -> NDArray[np.float32]:
    if hasattr(samples, "detach"):
        samples = samples.detach().cpu().float().numpy()
    return np.asarray(samples, dtype=np.float32)
