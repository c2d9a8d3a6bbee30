"""A sealed store, the datasets room on it, and small Parquet files."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from imprimatur.audit.service import AuditLog
from imprimatur.core.settings import Settings
from imprimatur.datasets.parquet import build
from imprimatur.datasets.service import Datasets
from imprimatur.storage.service import SealedStore


def _png(seed: int, size: int = 8, form: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)
    sink = BytesIO()
    Image.fromarray(pixels).save(sink, form)
    return sink.getvalue()


@pytest.fixture
def png() -> Callable[..., bytes]:
    """Bytes of a random image for a seed."""
    return _png


@pytest.fixture
def reference() -> Callable[..., bytes]:
    """A reference set of a hundred images with ten labels, columns replaced as the test wishes."""

    def make(*, labels: tuple[str, ...] | None = None, rows: int = 100, **replaced: list[Any]) -> bytes:
        columns: dict[str, list[Any]] = {
            "image": [_png(i) for i in range(rows)],
            "label": [str(i % 10) for i in range(rows)],
            "caption": [f"a handwritten {i % 10}" for i in range(rows)],
        }
        return build({**columns, **replaced}, labels=labels)

    return make


@pytest.fixture
def datasets(log: AuditLog, settings: Settings) -> Datasets:
    """The room on an empty sealed store."""
    return Datasets(log, SealedStore(settings.sealed))
