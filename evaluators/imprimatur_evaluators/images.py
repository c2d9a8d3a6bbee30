"""Images as arrays: decoding with limits, and resizing by a stated mode. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from imprimatur_evaluators.errors import BadImage

Pixels = NDArray[np.uint8] | NDArray[np.float32]
"""One image [h, w, 3], as decoded or resized, 0 to 255."""
Images = NDArray[np.uint8]
"""Images [n, h, w, 3], 0 to 255."""
FloatImages = NDArray[np.float32]

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
ENDINGS = frozenset(_FORMATS) | {".avif", ".bmp", ".gif", ".heic", ".jfif", ".jp2", ".jxl", ".tif", ".tiff"}
"""The endings by which a file is taken for an image; one of another format is refused by name, not passed over."""
_MODES = frozenset({"1", "L", "P", "RGB", "RGBA"})
_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


@dataclass(frozen=True)
class Limits:
    """What an image may be at most. Pixels are counted from the header, before anything is decoded."""

    pixels: int = 64 * 1024 * 1024
    encoded_bytes: int = 256 * 1024 * 1024


def decode(data: bytes, name: str, limits: Limits | None = None) -> Images:
    """The one image [h, w, 3] in PNG, JPEG or WebP bytes; every refusal is a BadImage that names the image.

    The ending of ``name``, where it has a known one, must tell the truth about the bytes.
    """
    opened = _acceptable(data, name, limits or Limits())
    try:
        return np.asarray(opened.convert("RGB"), dtype=np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise BadImage("broken-image", f"{name} is truncated or damaged: {error}; restore the file") from error


def inspect(data: bytes, name: str, limits: Limits | None = None) -> None:
    """Nothing where the header of the bytes is that of an acceptable image; otherwise BadImage. Decodes nothing."""
    _acceptable(data, name, limits or Limits())


def _acceptable(data: bytes, name: str, bounds: Limits) -> Image.Image:
    if len(data) > bounds.encoded_bytes:
        raise BadImage("image-too-large", f"{name} holds more than {bounds.encoded_bytes} bytes; shrink it")
    opened = _opened(data, name)
    _check_label(opened, name)
    pixels = opened.width * opened.height
    if pixels > bounds.pixels:
        raise BadImage("too-many-pixels", f"{name} has {pixels} pixels (expected at most {bounds.pixels})")
    if opened.mode not in _MODES:
        raise BadImage("unsupported-mode", f"{name} has pixels of kind {opened.mode} (expected 8 bits a channel)")
    return opened


def _opened(data: bytes, name: str) -> Image.Image:
    try:
        return Image.open(BytesIO(data), formats=sorted(set(_FORMATS.values())))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise BadImage("not-an-image", f"{name} is no PNG, JPEG or WebP image ({len(data)} bytes)") from error
    except Image.DecompressionBombError as error:
        raise BadImage("too-many-pixels", f"{name} is far too large: {error}") from error


def _check_label(opened: Image.Image, name: str) -> None:
    expected = _FORMATS.get(PurePath(name).suffix.lower())
    if expected is not None and opened.format != expected:
        raise BadImage("mislabelled-image", f"{name} is a {opened.format} image (expected {expected}); rename the file")


def checked(images: Images, what: str = "the set") -> Images:
    """``images`` where they are uint8 [n, h, w, 3]; otherwise BadImage 'bad-array'."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise BadImage(
            "bad-array", f"{what} is {images.dtype} {list(images.shape)} (expected uint8 [images, height, width, 3])"
        )
    return images


def image_digests(images: Images) -> list[str]:
    """One SHA-256 an image: see ``image_digest``."""
    return [image_digest(image) for image in images]


def image_digest(image: Images) -> str:
    """The SHA-256 of an image's size and pixels [h, w, 3]: the same picture has it however it was encoded."""
    size = f"{image.shape[0]}x{image.shape[1]}:".encode()
    return sha256(size + image.tobytes()).hexdigest()


def resize(images: Images, size: int, mode: str = "bicubic") -> FloatImages:
    """Square images [n, size, size, 3] as floats 0 to 255, resized each channel on its own in float and never rounded.

    Where the size already fits nothing is resampled. Values may leave 0 to 255 a little, as bicubic edges do.
    """
    if images.shape[1:3] == (size, size):
        return images.astype(np.float32)
    resampling = _RESAMPLING[mode]
    return np.stack([_resized(image, size, resampling) for image in images])


def _resized(image: NDArray[np.uint8], size: int, resampling: Image.Resampling) -> FloatImages:
    channels = (Image.fromarray(channel.astype(np.float32), mode=None) for channel in np.moveaxis(image, -1, 0))
    return np.stack([np.asarray(channel.resize((size, size), resampling)) for channel in channels], axis=-1)
