"""Images as arrays: decoding with limits, and the resize modes that published protocols rest on. No torch here.

How an image reaches a network's input size moves scores more than most models differ: a wrong mode alone moves FID by
several points (Parmar, Zhang and Zhu, "On aliased resizing and surprising subtleties in GAN evaluation", CVPR 2022).
So every backbone names its mode, each mode does exactly what its source does, and every score's protocol repeats it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from io import BytesIO
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from imprimatur_evaluators.errors import BadImage, BadRequest

Pixels = NDArray[np.uint8] | NDArray[np.float32]
"""One image [h, w, 3], as decoded or resized, 0 to 255."""
Picture = NDArray[np.uint8]
"""One decoded image [h, w, 3], 0 to 255."""
Images = NDArray[np.uint8]
"""Images [n, h, w, 3], 0 to 255."""
FloatImages = NDArray[np.float32]

_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
ENDINGS = frozenset(_FORMATS) | {".avif", ".bmp", ".gif", ".heic", ".jfif", ".jp2", ".jxl", ".tif", ".tiff"}
"""The endings by which a file is taken for an image; one of another format is refused by name, not passed over."""
_MODES = frozenset({"1", "L", "P", "RGB", "RGBA"})
_BICUBIC = Image.Resampling.BICUBIC
_BILINEAR = Image.Resampling.BILINEAR


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


class ResizeMode(StrEnum):
    """How an image of any size becomes a square one. ``words`` says so in a score's protocol."""

    BICUBIC = "bicubic"
    """Pillow's bicubic on each channel in float, neither rounded nor clipped."""
    BILINEAR = "bilinear"
    """Pillow's bilinear on each channel in float, neither rounded nor clipped."""
    CLEAN = "clean"
    """clean-fid's: Pillow's bicubic on each channel in float, clipped to 0..255, not rounded."""
    LEGACY_TENSORFLOW = "legacy_tensorflow"
    """TensorFlow 1's bilinear, as the first FID did inside its graph: no antialiasing, no half-pixel centres."""
    LEGACY_PYTORCH = "legacy_pytorch"
    """pytorch-fid's: bilinear with half-pixel centres and no antialiasing."""
    CLIP = "clip"
    """CLIP's: the shorter side by Pillow's bicubic on 8 bits, then the centre square."""
    CLIP_BILINEAR = "clip_bilinear"
    """As ``clip``, by Pillow's bilinear."""
    SQUASH = "squash"
    """Both sides at once by Pillow's bicubic on 8 bits; the aspect ratio is not kept."""
    SQUASH_BILINEAR = "squash_bilinear"
    """As ``squash``, by Pillow's bilinear."""
    LETTERBOX = "letterbox"
    """HPSv2's: the longer side by Pillow's bicubic on each channel in float, then black bars up to the square."""

    @classmethod
    def parse(cls, name: str) -> ResizeMode:
        """The mode of that name; BadRequest 'unknown-resize-mode' names all there are."""
        try:
            return cls(name)
        except ValueError as error:
            known = ", ".join(cls)
            raise BadRequest(
                "unknown-resize-mode", f"there is no resize mode '{name}' (expected one of {known})"
            ) from error

    def words(self, size: int) -> str:
        """What the mode does to an image on its way to ``size`` pixels a side, for a protocol."""
        return _WORDS[self].format(mode=self.value, size=f"{size}x{size}", side=size)


_WORDS: Mapping[ResizeMode, str] = {
    ResizeMode.BICUBIC: "{mode} to {size} per channel in float",
    ResizeMode.BILINEAR: "{mode} to {size} per channel in float",
    ResizeMode.CLEAN: "clean resize (Pillow bicubic per channel in float, clipped, not rounded) to {size}",
    ResizeMode.LEGACY_TENSORFLOW: "legacy_tensorflow resize (TensorFlow 1 bilinear) to {size}",
    ResizeMode.LEGACY_PYTORCH: "legacy_pytorch resize (bilinear without antialiasing) to {size}",
    ResizeMode.CLIP: "shorter side to {side} (Pillow bicubic, 8 bits), centre {size}",
    ResizeMode.CLIP_BILINEAR: "shorter side to {side} (Pillow bilinear, 8 bits), centre {size}",
    ResizeMode.SQUASH: "squashed to {size} (Pillow bicubic, 8 bits)",
    ResizeMode.SQUASH_BILINEAR: "squashed to {size} (Pillow bilinear, 8 bits)",
    ResizeMode.LETTERBOX: "longer side to {side} (Pillow bicubic in float), black bars to {size}",
}


def resize(images: Sequence[Picture] | Images, size: int, mode: str = ResizeMode.BICUBIC) -> FloatImages:
    """Square images [n, size, size, 3] as floats 0 to 255 of images [h, w, 3], which may differ in size.

    An image that is ``size`` a side already is taken as it is. ``bicubic``, ``bilinear`` and ``letterbox`` may leave 0
    to 255 a little, as edges do. Raises BadRequest 'unknown-resize-mode'.
    """
    resizer = _RESIZERS[ResizeMode.parse(mode)]
    ready = [image.astype(np.float32) if image.shape[:2] == (size, size) else resizer(image, size) for image in images]
    return np.stack(ready) if ready else np.zeros((0, size, size, 3), dtype=np.float32)


def _by_channel(image: Pixels, height: int, width: int, resampling: Image.Resampling) -> FloatImages:
    channels = (Image.fromarray(channel.astype(np.float32), mode=None) for channel in np.moveaxis(image, -1, 0))
    return np.stack([np.asarray(channel.resize((width, height), resampling)) for channel in channels], axis=-1)


def _by_pixel(image: Picture, height: int, width: int, resampling: Image.Resampling) -> FloatImages:
    """All channels of 8 bits at once, each result rounded to 8 bits."""
    if image.shape[:2] == (height, width):
        return image.astype(np.float32)
    return np.asarray(Image.fromarray(image).resize((width, height), resampling)).astype(np.float32)


def _clean(image: Picture, size: int) -> FloatImages:
    return _by_channel(image, size, size, _BICUBIC).clip(0, 255)


def _shorter_side(image: Picture, size: int, resampling: Image.Resampling) -> FloatImages:
    height, width = image.shape[:2]
    shorter = min(height, width)
    height, width = size * height // shorter, size * width // shorter
    resized = _by_pixel(image, height, width, resampling)
    top, left = round((height - size) / 2), round((width - size) / 2)
    return resized[top : top + size, left : left + size]


def _letterbox(image: Picture, size: int) -> FloatImages:
    longer = max(image.shape[:2])
    height, width = (max(1, round(side * (size / longer))) for side in image.shape[:2])
    top, left = (size - height) // 2, (size - width) // 2
    boxed = np.zeros((size, size, 3), dtype=np.float32)
    boxed[top : top + height, left : left + width] = _by_channel(image, height, width, _BICUBIC)
    return boxed


def _tensorflow_positions(size: int, side: int) -> FloatImages:
    """Where each of ``size`` outputs is read among ``side`` inputs: corners aligned at the start only."""
    positions: FloatImages = np.arange(size, dtype=np.float32) * np.float32(side / size)
    return positions


def _pytorch_positions(size: int, side: int) -> FloatImages:
    """Where each of ``size`` outputs is read among ``side`` inputs: centres of pixels aligned."""
    scale = np.float32(side) / np.float32(size)
    centres: FloatImages = scale * (np.arange(size, dtype=np.float32) + np.float32(0.5)) - np.float32(0.5)
    return centres.clip(0)


def _bilinear(image: Picture, size: int, positions: Callable[[int, int], FloatImages]) -> FloatImages:
    """Two-point interpolation along each side in float32, in the order of operations of the reference."""
    across = _interpolated(image.astype(np.float32), positions(size, image.shape[1]), axis=1)
    return _interpolated(across, positions(size, image.shape[0]), axis=0)


def _interpolated(image: FloatImages, positions: FloatImages, axis: int) -> FloatImages:
    low = positions.astype(np.intp)
    high = np.minimum(low + 1, image.shape[axis] - 1)
    share = (positions - low.astype(np.float32)).reshape([-1 if each == axis else 1 for each in range(image.ndim)])
    first = image.take(low, axis)
    between: FloatImages = first + (image.take(high, axis) - first) * share
    return between


_RESIZERS: Mapping[ResizeMode, Callable[[Picture, int], FloatImages]] = {
    ResizeMode.BICUBIC: lambda image, size: _by_channel(image, size, size, _BICUBIC),
    ResizeMode.BILINEAR: lambda image, size: _by_channel(image, size, size, _BILINEAR),
    ResizeMode.CLEAN: _clean,
    ResizeMode.LEGACY_TENSORFLOW: lambda image, size: _bilinear(image, size, _tensorflow_positions),
    ResizeMode.LEGACY_PYTORCH: lambda image, size: _bilinear(image, size, _pytorch_positions),
    ResizeMode.CLIP: lambda image, size: _shorter_side(image, size, _BICUBIC),
    ResizeMode.CLIP_BILINEAR: lambda image, size: _shorter_side(image, size, _BILINEAR),
    ResizeMode.SQUASH: lambda image, size: _by_pixel(image, size, size, _BICUBIC),
    ResizeMode.SQUASH_BILINEAR: lambda image, size: _by_pixel(image, size, size, _BILINEAR),
    ResizeMode.LETTERBOX: _letterbox,
}
