"""Features by content: an image is embedded once for a backbone, however often and wherever it appears."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from imprimatur_evaluators.backbones.model import Backbone
from imprimatur_evaluators.errors import EvaluatorError
from imprimatur_evaluators.images import Images, checked, image_digests, resize
from imprimatur_evaluators.statistics.arrays import Array


class FeatureCache:
    """Features under ``root``, one file each, named by the digest of image, backbone and protocol."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, image_digest: str, backbone: Backbone) -> Array | None:
        """The feature [d] kept for the image, or None; EvaluatorError 'cache-damaged' names a broken file."""
        path = self._path(image_digest, backbone)
        if not path.is_file():
            return None
        try:
            feature: Array = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise EvaluatorError("cache-damaged", f"{path} is damaged; delete it and it is computed again") from error
        return feature

    def write(self, image_digest: str, backbone: Backbone, feature: Array) -> None:
        """Keep the feature; the file appears whole or not at all."""
        path = self._path(image_digest, backbone)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as part:
            np.save(part, feature, allow_pickle=False)
        os.replace(part.name, path)

    def _path(self, image_digest: str, backbone: Backbone) -> Path:
        key = sha256("\n".join((image_digest, backbone.identity, backbone.protocol)).encode()).hexdigest()
        return self.root / key[:2] / f"{key}.npy"


def image_features(images: Images, backbone: Backbone) -> Array:
    """Features [n, width] of images [n, h, w, 3], seen as the backbone sees them."""
    view = backbone.view
    return backbone.features(list(images if view is None else resize(images, view.size, view.mode)))


def embed(images: Images, backbone: Backbone, cache: FeatureCache | None = None) -> Array:
    """Features [n, d] of images [n, h, w, 3]: from the cache where kept, each different image embedded once."""
    digests = image_digests(checked(images))
    known = {} if cache is None else _kept(digests, backbone, cache)
    missing = sorted({digest: row for row, digest in reversed(list(enumerate(digests))) if digest not in known}.items())
    if missing:
        rows = [row for _, row in missing]
        fresh = dict(zip([digest for digest, _ in missing], image_features(images[rows], backbone), strict=True))
        if cache is not None:
            for digest, feature in fresh.items():
                cache.write(digest, backbone, feature)
        known.update(fresh)
    return np.stack([known[digest] for digest in digests]) if digests else image_features(images, backbone)


def _kept(digests: Sequence[str], backbone: Backbone, cache: FeatureCache) -> dict[str, Array]:
    found = {digest: cache.read(digest, backbone) for digest in set(digests)}
    return {digest: feature for digest, feature in found.items() if feature is not None}
