"""Features by content: one pass over a source decodes an image once, resizes it once for each view, and embeds it once
for each backbone, however often and wherever the image appears.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

import numpy as np

from imprimatur_evaluators.backbones.model import Backbone, View
from imprimatur_evaluators.errors import BadImage, EvaluatorError
from imprimatur_evaluators.images import Images, image_digest, resize
from imprimatur_evaluators.report import Skipped
from imprimatur_evaluators.sources import Picture, Source, source_of
from imprimatur_evaluators.statistics.arrays import Array, Indices

CHUNK = 64
"""Images in memory at a time."""
_SEAL = sha256().digest_size

OnImages = Callable[[int], None]
"""Called after each chunk with the number of its images."""


class FeatureCache:
    """Features under ``root``, one file each, named by the digest of pixels, backbone and protocol.

    Each file begins with the SHA-256 of the rest. ``decoded/`` remembers which pixels encoded bytes hold, so that a
    known file need not be decoded again.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def read(self, image_digest: str, backbone: Backbone) -> Array | None:
        """The feature [d] kept for the image, or None; EvaluatorError 'cache-damaged' names a broken file."""
        path = self._path(image_digest, backbone)
        if not path.is_file():
            return None
        kept = path.read_bytes()
        seal, body = kept[:_SEAL], kept[_SEAL:]
        if sha256(body).digest() != seal or len(body) != 8 * backbone.width:
            raise EvaluatorError("cache-damaged", f"{path} is damaged; delete it and it is computed again")
        return np.frombuffer(body, dtype="<f8").astype(np.float64)

    def write(self, image_digest: str, backbone: Backbone, feature: Array) -> None:
        """Keep the feature; the file appears whole or not at all."""
        path = self._path(image_digest, backbone)
        body = np.ascontiguousarray(feature, dtype="<f8").tobytes()
        _replace(path, sha256(body).digest() + body)

    def pixels_of(self, encoding: str) -> str | None:
        """The digest of the pixels that bytes of this digest decode to, where that is known."""
        path = self._decoded(encoding)
        return path.read_text() if path.is_file() else None

    def remember(self, encoding: str, image_digest: str) -> None:
        """Keep which pixels the encoded bytes hold."""
        _replace(self._decoded(encoding), image_digest.encode())

    def _path(self, image_digest: str, backbone: Backbone) -> Path:
        key = sha256("\n".join((image_digest, backbone.identity, backbone.protocol)).encode()).hexdigest()
        return self.root / key[:2] / f"{key}.feature"

    def _decoded(self, encoding: str) -> Path:
        return self.root / "decoded" / encoding[:2] / encoding


@dataclass(frozen=True, eq=False)
class Embedded:
    """The features [n, d] of a source's acceptable images by backbone, in the source's order.

    ``places`` [n] says where each stood in the source, ``digests`` [n] what its pixels are.
    """

    names: tuple[str, ...]
    digests: tuple[str, ...]
    places: Indices
    features: Mapping[str, Array]
    skipped: tuple[Skipped, ...] = ()


class Embedder:
    """Embeds sources by several backbones in one pass each; what it has embedded once it does not embed again.

    ``workers`` threads decode and resize. With ``skip_bad`` an unacceptable image is left out and listed; without, the
    first one raises BadImage. No feature depends on workers, cache, order, or on what else is in the source.
    """

    def __init__(
        self,
        cache: FeatureCache | None = None,
        *,
        workers: int = 1,
        skip_bad: bool = False,
        on_images: OnImages | None = None,
    ) -> None:
        self._cache = cache
        self._on_images = on_images
        self._workers = workers
        self._skip_bad = skip_bad
        self._known: dict[tuple[str, str, str], Array] = {}
        self._pixels: dict[str, str] = {}

    def embed(self, images: Source | Images, backbones: Sequence[Backbone]) -> Embedded:
        """The features of ``images`` by every one of ``backbones``."""
        places: list[int] = []
        digests: list[str] = []
        skipped: list[Skipped] = []
        source = source_of(images)
        with ThreadPoolExecutor(self._workers) as pool:
            for chunk in _chunks(source):
                looked = list(pool.map(lambda one: self._look(one[0], one[1], backbones), chunk))
                skipped += [each for each in looked if isinstance(each, Skipped)]
                seen = [each for each in looked if isinstance(each, _Seen)]
                self._learn(seen, backbones, pool)
                places += [each.place for each in seen]
                digests += [each.digest for each in seen]
                if self._on_images is not None:
                    self._on_images(len(chunk))
        names = source.names
        return Embedded(
            names=tuple(names[place] for place in places),
            digests=tuple(digests),
            places=np.array(places, dtype=np.intp),
            features={backbone.name: self._stacked(digests, backbone) for backbone in backbones},
            skipped=tuple(skipped),
        )

    def _look(self, place: int, picture: Picture, backbones: Sequence[Backbone]) -> _Seen | Skipped:
        """The picture's digest, and its pixels where some backbone has still to see them."""
        try:
            return self._seen(place, picture, backbones)
        except BadImage as error:
            if not self._skip_bad:
                raise
            return Skipped(place, picture.name, error.code, error.message)

    def _seen(self, place: int, picture: Picture, backbones: Sequence[Backbone]) -> _Seen:
        encoding = picture.encoding
        digest = None if encoding is None else self._pixel_digest(encoding)
        if digest is not None and all(self._feature(digest, backbone) is not None for backbone in backbones):
            return _Seen(place, digest, None)
        pixels = picture.pixels()
        digest = image_digest(pixels)
        if encoding is not None:
            self._pixels[encoding] = digest
            if self._cache is not None:
                self._cache.remember(encoding, digest)
        return _Seen(place, digest, pixels)

    def _pixel_digest(self, encoding: str) -> str | None:
        known = self._pixels.get(encoding)
        if known is None and self._cache is not None:
            known = self._cache.pixels_of(encoding)
        return known

    def _feature(self, digest: str, backbone: Backbone) -> Array | None:
        key = _key(digest, backbone)
        if key not in self._known and self._cache is not None:
            kept = self._cache.read(digest, backbone)
            if kept is not None:
                self._known[key] = kept
        return self._known.get(key)

    def _learn(self, seen: Sequence[_Seen], backbones: Sequence[Backbone], pool: ThreadPoolExecutor) -> None:
        """Embed what some backbone has not seen yet; each view of an image is made once."""
        pixels = {each.digest: each.pixels for each in seen if each.pixels is not None}
        views: dict[tuple[str, View], np.ndarray] = {}
        for backbone in backbones:
            missing = [digest for digest in pixels if self._feature(digest, backbone) is None]
            view = backbone.view
            if view is not None:
                new = [digest for digest in missing if (digest, view) not in views]
                made = pool.map(lambda digest, view=view: resize(pixels[digest][None], view.size, view.mode)[0], new)
                views.update(zip([(digest, view) for digest in new], made, strict=True))
            shown = [pixels[digest] if view is None else views[digest, view] for digest in missing]
            if missing:
                self._keep(missing, backbone, backbone.features(shown))

    def _keep(self, digests: Sequence[str], backbone: Backbone, features: Array) -> None:
        for digest, feature in zip(digests, features, strict=True):
            self._known[_key(digest, backbone)] = feature
            if self._cache is not None:
                self._cache.write(digest, backbone, feature)

    def _stacked(self, digests: Sequence[str], backbone: Backbone) -> Array:
        rows = [self._known[_key(digest, backbone)] for digest in digests]
        return np.stack(rows) if rows else np.zeros((0, backbone.width))


@dataclass(frozen=True, eq=False)
class _Seen:
    """An acceptable image of a chunk; its pixels only where they are needed."""

    place: int
    digest: str
    pixels: Images | None


def embed(images: Images, backbone: Backbone, cache: FeatureCache | None = None) -> Array:
    """Features [n, d] of images [n, h, w, 3]: from the cache where kept, each different image embedded once."""
    return Embedder(cache).embed(images, [backbone]).features[backbone.name]


def image_features(images: Images, backbone: Backbone) -> Array:
    """Features [n, width] of images [n, h, w, 3], seen as the backbone sees them."""
    view = backbone.view
    return backbone.features(list(images if view is None else resize(images, view.size, view.mode)))


def _chunks(source: Source) -> Iterator[list[tuple[int, Picture]]]:
    numbered = enumerate(source)
    while chunk := list(islice(numbered, CHUNK)):
        yield chunk


def _key(digest: str, backbone: Backbone) -> tuple[str, str, str]:
    return digest, backbone.identity, backbone.protocol


def _replace(path: Path, data: bytes) -> None:
    """Write the file so that it appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as part:
        part.write(data)
    os.replace(part.name, path)
