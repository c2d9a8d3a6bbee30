"""The catalogue keeps weights by digest, refuses a file that was changed, and takes loaders from other packages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from imprimatur_evaluators.backbones import Catalogue, DigestOrigin, load
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


def test_a_configuration_names_its_architecture(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(BadWeights) as caught:
        Catalogue(tmp_path / "weights").add("bad", weights, {}, licence="none", source="none")
    assert caught.value.code == "no-architecture"


def test_an_unknown_architecture_is_not_loaded(catalogue: Catalogue, weights: Path) -> None:
    catalogue.add("odd", weights, {"architecture": "torchscript"}, licence="none", source="none")
    with pytest.raises(BadWeights) as caught:
        load("odd", catalogue)
    assert caught.value.code == "unknown-architecture"


def test_an_index_from_before_formats_and_origins_is_still_read(catalogue: Catalogue) -> None:
    index = catalogue.root / "catalogue.json"
    documents = json.loads(index.read_text())
    for document in documents.values():
        del document["format"], document["digest_origin"]
    index.write_text(json.dumps(documents))
    assert catalogue.verify("small").digest_origin is DigestOrigin.IMPORT


def test_nothing_half_written_stays(catalogue: Catalogue, weights: Path) -> None:
    before = sorted(path.name for path in catalogue.root.iterdir())
    with catalogue.incoming() as incoming:
        incoming.write(b"half")
        assert incoming.path.exists()
    assert sorted(path.name for path in catalogue.root.iterdir()) == before


PLUGIN = """
class Sized:
    def __init__(self, entry, weights, device):
        self.name, self.width, self.device = entry.name, len(weights), device

def load(entry, weights, device):
    return Sized(entry, weights, device)
"""


def test_another_package_plugs_in_an_architecture(
    catalogue: Catalogue, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "plugged_backbone.py").write_text(PLUGIN)
    folder = tmp_path / "site" / "plugged-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[imprimatur.backbones]\nsized = plugged_backbone:load\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    catalogue.add("theirs", weights, {"architecture": "sized"}, licence="none", source="none")
    found = load("theirs", catalogue, "cpu")
    assert found.width == weights.stat().st_size
