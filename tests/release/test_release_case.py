"""What a case says of a model that is nothing without another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from imprimatur.core.digests import Digest
from imprimatur.core.errors import Refused
from imprimatur.registry.layout import ADAPTER_TYPE, PIPELINE_TYPE
from imprimatur.release.case import pipeline_of
from imprimatur.storage.model import Manifest
from imprimatur.storage.service import SealedStore

_MISSING: Digest = "sha256:" + "0" * 64


@pytest.fixture
def store(tmp_path: Path) -> SealedStore:
    return SealedStore(tmp_path / "sealed")


def _sealed(store: SealedStore, folder: Path, name: str, content: str, kind: str) -> Manifest:
    folder.mkdir()
    (folder / name).write_text(content)
    return store.seal_folder(folder, artifact_type=kind)


def _adapter(store: SealedStore, folder: Path, base: Digest) -> Manifest:
    return _sealed(store, folder, "MLmodel", f"metadata: {{imprimatur: {{base_model: '{base}'}}}}", ADAPTER_TYPE)


def test_the_pipeline_of_an_adapter_is_its_bases(store: SealedStore, tmp_path: Path) -> None:
    base = _sealed(store, tmp_path / "base", "model_index.json", '{"_class_name": "FluxPipeline"}', PIPELINE_TYPE)

    assert pipeline_of(_adapter(store, tmp_path / "adapter", base.digest), store) == "FluxPipeline"
    assert pipeline_of(base, store) == "FluxPipeline"


def test_there_is_no_case_for_an_adapter_without_its_base(store: SealedStore, tmp_path: Path) -> None:
    with pytest.raises(Refused) as refusal:
        pipeline_of(_adapter(store, tmp_path / "adapter", _MISSING), store)
    assert refusal.value.code == "unsealed-base"
