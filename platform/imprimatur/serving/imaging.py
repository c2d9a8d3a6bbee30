"""Image files that say where they come from, and the signature over them."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from imprimatur.core.digests import Digest, Json, digest_of_bytes
from imprimatur.core.signing import SigningKey
from imprimatur.serving.painting import Picture

IMAGE_TYPE = "application/vnd.imprimatur.image+json"
TEXT_KEY = "imprimatur"
"""Key of the text chunk that carries the origin in a PNG file."""

_DESCRIPTION = 0x010E  # EXIF ImageDescription
_LOSSY_QUALITY = 90


@dataclass(frozen=True)
class Origin:
    """What drew an image: the exact bytes, the decision that let them be served, and the seed."""

    model: str
    version: int
    environment: str
    manifest_digest: Digest
    decision_id: str
    seed: int

    def document(self) -> Mapping[str, Json]:
        """The origin as JSON; the source type is IPTC's word for an image that a trained model made."""
        return {
            "digital_source_type": "trainedAlgorithmicMedia",
            "model": self.model,
            "version": self.version,
            "environment": self.environment,
            "manifest_digest": self.manifest_digest,
            "decision_id": self.decision_id,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class SignedImage:
    """An encoded image and the DSSE document that binds its bytes to their origin."""

    data: bytes
    digest: Digest
    signature: Mapping[str, Any]


def sign_image(data: bytes, origin: Origin, key: SigningKey) -> SignedImage:
    """``data`` with a signature over its SHA-256 and its origin."""
    digest = digest_of_bytes(data)
    envelope = key.sign(IMAGE_TYPE, {"image_digest": digest, **origin.document()})
    return SignedImage(data, digest, envelope.document())


def encode(picture: Picture, origin: Origin, form: str, compression: int | None) -> bytes:
    """``picture`` as a file of ``form`` (png, webp, jpeg) that carries its origin as JSON.

    ``compression`` is OpenAI's: the quality of a lossy file from 0 to 100. PNG carries the origin in a text chunk, WebP
    and JPEG in EXIF's ImageDescription.
    """
    text = json.dumps(origin.document(), sort_keys=True)
    image = Image.fromarray(picture)
    buffer = io.BytesIO()
    if form == "png":
        info = PngInfo()
        info.add_text(TEXT_KEY, text)
        image.save(buffer, format="PNG", pnginfo=info)
        return buffer.getvalue()
    exif = Image.Exif()
    exif[_DESCRIPTION] = text
    quality = _LOSSY_QUALITY if compression is None else compression
    image.save(buffer, format=form.upper(), quality=quality, exif=exif)
    return buffer.getvalue()
