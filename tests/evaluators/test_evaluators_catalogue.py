"""The catalogue keeps safetensors by digest and refuses a file that was changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from imprimatur_evaluators.backbones import Catalogue, load
from imprimatur_evaluators.errors import BadWeights

CONFIG: dict[str, Any] = {"architecture": "open-clip", "embed_dim": 4, "layers": [1, 2]}


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "w.safetensors"
    save_file({"w": np.arange(6, dtype=np.float32)}, path)
    return path


@pytest.fixture
def catalogue(tmp_path: Path, weights: Path) -> Catalogue:
    made = Catalogue(tmp_path / "weights")
    made.add("small", weights, CONFIG, licence="Apache-2.0", source="trained in a test")
    return made


def test_an_entry_says_what_it_is_and_whence_it_came(catalogue: Catalogue, weights: Path) -> None:
    entry = Catalogue(catalogue.root).entry("small")
    assert (entry.licence, entry.source, entry.architecture) == ("Apache-2.0", "trained in a test", "open-clip")
    assert entry.config == CONFIG
    assert entry.path.read_bytes() == weights.read_bytes()
    assert catalogue.entries() == [entry]


def test_a_file_changed_afterwards_is_refused_by_name(catalogue: Catalogue) -> None:
    entry = catalogue.verify("small")
    data = bytearray(entry.path.read_bytes())
    data[-1] ^= 1
    entry.path.write_bytes(bytes(data))
    for attempt in (catalogue.verify, lambda name: load(name, catalogue)):
        with pytest.raises(BadWeights) as caught:
            attempt("small")
        assert caught.value.code == "weights-changed"
        assert str(entry.path) in caught.value.message


def test_a_missing_file_is_said(catalogue: Catalogue) -> None:
    catalogue.entry("small").path.unlink()
    with pytest.raises(BadWeights) as caught:
        catalogue.verify("small")
    assert caught.value.code == "weights-missing"


def test_an_unknown_name_says_what_there_is(catalogue: Catalogue) -> None:
    with pytest.raises(BadWeights, match="it holds: small") as caught:
        catalogue.entry("large")
    assert caught.value.code == "no-such-backbone"


def test_the_identity_covers_the_configuration(catalogue: Catalogue, weights: Path) -> None:
    other = catalogue.add("other", weights, {**CONFIG, "embed_dim": 8}, licence="MIT", source="test")
    assert other.digest == catalogue.entry("small").digest
    assert other.identity != catalogue.entry("small").identity


@pytest.mark.parametrize(
    "data", [b"", b"\x80\x04pickle", b"PK\x03\x04" + b"\0" * 40, (2).to_bytes(8, "little") + b"[]"]
)
def test_anything_but_safetensors_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(data)
    with pytest.raises(BadWeights) as caught:
        Catalogue(tmp_path / "weights").add("bad", path, CONFIG, licence="none", source="none")
    assert caught.value.code == "not-safetensors"
    assert Catalogue(tmp_path / "weights").entries() == []


def test_a_configuration_names_its_architecture(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(BadWeights) as caught:
        Catalogue(tmp_path / "weights").add("bad", weights, {}, licence="none", source="none")
    assert caught.value.code == "no-architecture"


def test_an_unknown_architecture_is_not_loaded(catalogue: Catalogue, weights: Path) -> None:
    catalogue.add("odd", weights, {"architecture": "torchscript"}, licence="none", source="none")
    with pytest.raises(BadWeights) as caught:
        load("odd", catalogue)
    assert caught.value.code == "unknown-architecture"
