"""A LoRA adapter is sealed beside the sealed base that it names, and never loaded on anything else."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import mlflow.diffusers
import pytest
import yaml
from sqlalchemy import text

from imprimatur.access.model import Principal
from imprimatur.audit.service import AuditLog
from imprimatur.core.database import Database
from imprimatur.core.digests import Digest
from imprimatur.core.errors import BadInput, ImprimaturError, Refused, Tampered
from imprimatur.core.settings import Settings
from imprimatur.costs.model import Rates
from imprimatur.costs.service import Ledger
from imprimatur.registry.adapter import admit_adapter, sealable
from imprimatur.registry.admission import admit
from imprimatur.registry.flavor import (
    Lineage,
    PromptedPipeline,
    lineage_of,
    load_pipeline,
    load_sealed,
    log_adapter,
    save_adapter,
    save_pipeline,
)
from imprimatur.registry.layout import ADAPTER_TYPE, PIPELINE_TYPE
from imprimatur.registry.provenance import ModelSigner
from imprimatur.registry.service import Registry
from imprimatur.storage.service import SealedStore
from tiny_adapters import tiny_lora
from tiny_pipelines import tiny_ddpm, tiny_stable_diffusion, tiny_stable_diffusion_xl

_WEIGHTS = "adapter_weights/pytorch_lora_weights.safetensors"
_NOWHERE: Digest = "sha256:" + "0" * 64
_PROMPTS = ["a digit", "one"]
_PARAMS = {"steps": 2, "seed": 3, "guidance": 2.0}


@dataclass(frozen=True)
class Trained:
    """A base, saved; the weights of an adapter of it; and what base and adapter draw together, and the base alone."""

    base: Path
    weights: Path
    drawn: list[bytes]
    plain: list[bytes]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    pipeline = tiny_stable_diffusion(folder / "tokenizer")
    save_pipeline(pipeline, folder / "base", lineage=Lineage())
    plain = PromptedPipeline(pipeline).predict(_PROMPTS, _PARAMS)
    weights = tiny_lora(pipeline, folder / "lora")
    return Trained(folder / "base", weights, PromptedPipeline(pipeline).predict(_PROMPTS, _PARAMS), plain)


@pytest.fixture
def store(tmp_path: Path) -> SealedStore:
    return SealedStore(tmp_path / "sealed")


@pytest.fixture
def base(store: SealedStore, trained: Trained) -> Digest:
    """The base's digest, sealed."""
    return store.seal_folder(trained.base, artifact_type=PIPELINE_TYPE).digest


@pytest.fixture
def saved(tmp_path: Path, trained: Trained, base: Digest) -> Path:
    """The adapter's folder, which the test may spoil."""
    save_adapter(trained.weights, tmp_path / "adapter", base=base, lineage=Lineage(code_commit="c0ffee"))
    return tmp_path / "adapter"


def test_an_adapter_is_admitted_with_its_base_beside_it(saved: Path, store: SealedStore, base: Digest) -> None:
    admitted = admit_adapter(saved)

    assert (admitted.base, admitted.weights, admitted.weight_files) == (base, _WEIGHTS, (_WEIGHTS,))
    assert sealable(saved, store).artifact_type == ADAPTER_TYPE
    assert lineage_of(saved) == Lineage(code_commit="c0ffee", base_model=base).document()


def test_what_peft_wrote_beside_the_weights_is_admitted(saved: Path, store: SealedStore) -> None:
    """Only a pipeline's parts are loaded by it; an adapter is, by its weight file alone."""
    (saved / "adapter_weights" / "adapter_config.json").write_text('{"base_model_name_or_path": "owner/base"}')

    assert sealable(saved, store).artifact_type == ADAPTER_TYPE


def test_what_mlflow_itself_logs_is_admitted_with_the_digest_in_its_metadata(
    tmp_path: Path, trained: Trained, store: SealedStore, base: Digest
) -> None:
    named = {"imprimatur": {"base_model": base}}
    mlflow.diffusers.save_model(str(trained.weights), str(tmp_path / "m"), base_model="/base", metadata=named)

    assert sealable(tmp_path / "m", store).artifact_type == ADAPTER_TYPE


def test_the_sealed_adapter_draws_on_the_sealed_base_what_it_drew_in_training(
    saved: Path, trained: Trained, store: SealedStore, tmp_path: Path
) -> None:
    digest = store.seal_folder(saved, artifact_type=ADAPTER_TYPE).digest

    loaded = load_sealed(store, digest, tmp_path / "scratch")

    assert PromptedPipeline(loaded).predict(_PROMPTS, _PARAMS) == trained.drawn
    assert trained.drawn != trained.plain


@pytest.mark.parametrize("which", ["adapter", "base"])
def test_changed_bytes_of_either_are_not_loaded(saved: Path, store: SealedStore, tmp_path: Path, which: str) -> None:
    manifest = store.seal_folder(saved, artifact_type=ADAPTER_TYPE)
    changed = manifest if which == "adapter" else store.manifest(admit_adapter(saved).base)
    file = next(file for file in changed.files if file.path.endswith(".safetensors"))
    blob = store.blob_path(file.digest)
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-1] + b"\x7f")

    with pytest.raises(Tampered) as refusal:
        load_sealed(store, manifest.digest, tmp_path / "scratch")

    assert refusal.value.facts["file"] == file.path


@pytest.mark.filterwarnings("ignore:`torch_dtype` is deprecated:FutureWarning")  # MLflow says it so
def test_mlflow_on_its_own_finds_no_base_but_takes_the_sealed_one(
    saved: Path, trained: Trained, store: SealedStore, base: Digest, tmp_path: Path
) -> None:
    adapter = mlflow.diffusers.load_model(str(saved))

    folder = store.materialise(base, tmp_path / "copy") / "pipeline"
    loaded = adapter.load_pipeline(base_model=str(folder), device="cpu")

    assert PromptedPipeline(loaded).predict(_PROMPTS, _PARAMS) == trained.drawn
    with pytest.raises(ValueError, match=base):  # no repository's name can look like that, so nothing is looked up
        adapter.load_pipeline(device="cpu")


@pytest.mark.parametrize("named", [None, "org/model", _NOWHERE, 7])
def test_an_adapter_whose_base_is_not_sealed_here_is_refused(saved: Path, store: SealedStore, named: object) -> None:
    _rewrite(saved, lambda model: model["metadata"]["imprimatur"].update(base_model=named))

    with pytest.raises(Refused, match="seal the base first") as refusal:
        sealable(saved, store)

    assert refusal.value.code == "unsealed-base"


def test_an_adapter_of_an_adapter_is_refused(saved: Path, trained: Trained, store: SealedStore, tmp_path: Path) -> None:
    first = store.seal_folder(saved, artifact_type=ADAPTER_TYPE).digest
    save_adapter(trained.weights, tmp_path / "second", base=first, lineage=Lineage())

    with pytest.raises(Refused) as refusal:
        sealable(tmp_path / "second", store)

    assert refusal.value.code == "unsealed-base"


def test_bytes_that_were_stored_without_being_sealed_are_no_base(saved: Path, store: SealedStore, base: Digest) -> None:
    loose = store.put_blob(store.read_blob(base).replace(b"pipeline.v1", b"pipeline.v2"))
    _rewrite(saved, lambda model: model["metadata"]["imprimatur"].update(base_model=loose))

    with pytest.raises(Refused) as refusal:
        sealable(saved, store)

    assert refusal.value.code == "unsealed-base"


def test_a_base_that_is_gone_is_not_replaced_by_another(saved: Path, store: SealedStore, tmp_path: Path) -> None:
    elsewhere = SealedStore(tmp_path / "elsewhere")
    digest = elsewhere.seal_folder(saved, artifact_type=ADAPTER_TYPE).digest

    with pytest.raises(Refused) as refusal:
        load_sealed(elsewhere, digest, tmp_path / "scratch")

    assert refusal.value.code == "unsealed-base"


@pytest.mark.parametrize("make", [tiny_stable_diffusion_xl, tiny_ddpm], ids=["other layers", "takes none"])
def test_an_adapter_of_something_else_is_not_put_on(
    store: SealedStore, trained: Trained, tmp_path: Path, make: Callable[[Path], Any]
) -> None:
    save_pipeline(make(tmp_path / "tokenizer"), tmp_path / "other", lineage=Lineage())
    other = store.seal_folder(tmp_path / "other", artifact_type=PIPELINE_TYPE).digest
    save_adapter(trained.weights, tmp_path / "adapter", base=other, lineage=Lineage())
    digest = store.seal_folder(tmp_path / "adapter", artifact_type=ADAPTER_TYPE).digest

    with pytest.raises(Refused) as refusal:
        load_sealed(store, digest, tmp_path / "scratch")

    assert refusal.value.code == "adapter-does-not-fit"


def test_weights_that_find_no_layer_are_not_left_out_silently(saved: Path, store: SealedStore, tmp_path: Path) -> None:
    """Diffusers warns of them and goes on."""
    _rename_tensors(saved / _WEIGHTS, "unet.up_blocks.0", "unet.up_blocks.7")
    digest = store.seal_folder(saved, artifact_type=ADAPTER_TYPE).digest

    with pytest.raises(Refused) as refusal:
        load_sealed(store, digest, tmp_path / "scratch")

    assert refusal.value.code == "adapter-does-not-fit"


def test_an_adapter_is_no_pipeline(saved: Path) -> None:
    for attempt in (admit, load_pipeline):
        with pytest.raises(Refused, match="load_sealed") as refusal:
            attempt(saved)
        assert refusal.value.code == "not-a-pipeline"


def _rewrite(folder: Path, change: Callable[[Any], object]) -> None:
    path = folder / "MLmodel"
    model = yaml.safe_load(path.read_text())
    change(model)
    path.write_text(yaml.safe_dump(model))


def _header(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    change(header)
    new = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(new)) + new + data[8 + length :])


def _rename_tensors(path: Path, old: str, new: str) -> None:
    def change(header: dict[str, Any]) -> None:
        header.pop("__metadata__")
        for name in list(header):
            header[name.replace(old, new)] = header.pop(name)

    _header(path, change)


def _setting(name: str, value: object) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        def change(header: dict[str, Any]) -> None:
            settings = json.loads(header["__metadata__"]["lora_adapter_metadata"])
            assert f"unet.{name}" in settings
            settings[f"unet.{name}"] = value
            header["__metadata__"]["lora_adapter_metadata"] = json.dumps(settings)

        _header(folder / _WEIGHTS, change)

    return spoil


def _flavor(**changes: object) -> Callable[[Path], None]:
    return lambda folder: _rewrite(folder, lambda model: model["flavors"]["diffusers"].update(changes))


def _pyfunc(**changes: object) -> Callable[[Path], None]:
    return lambda folder: _rewrite(folder, lambda model: model["flavors"]["python_function"].update(changes))


def _settings_text(text: str) -> Callable[[Path], None]:
    return lambda folder: _header(
        folder / _WEIGHTS, lambda header: header["__metadata__"].update(lora_adapter_metadata=text)
    )


def _file(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(data)


SPOILED: dict[str, tuple[Callable[[Path], object], str]] = {
    "code in the flavor": (_flavor(code="code"), "custom-code"),
    "code in pyfunc": (_pyfunc(code="code"), "custom-code"),
    "own loader": (_pyfunc(loader_module="own.loader"), "custom-code"),
    "loader of pipelines": (_pyfunc(loader_module="imprimatur.registry.flavor"), "custom-code"),
    "data elsewhere": (_pyfunc(data="../base"), "outside-file"),
    "code beside": (_file("adapter_weights/own.py", b"import os"), "code-file"),
    "a pickle beside": (_file("adapter_weights/pytorch_lora_weights.bin", b"x"), "pickle-file"),
    "a pickle as weights": (_file(_WEIGHTS, b"\x80\x04."), "pickle-file"),
    "broken weights": (_file(_WEIGHTS, b"\0" * 9), "bad-safetensors"),
    "another type": (_flavor(adapter_type="lokr"), "bad-adapter"),
    "weights elsewhere": (_flavor(adapter_weights="../base"), "bad-adapter"),
    "weights outside": (_flavor(weight_name="../x.safetensors"), "bad-adapter"),
    "no such weights": (_flavor(weight_name="x.safetensors"), "bad-adapter"),
    "no name": (_flavor(weight_name=["x"]), "bad-adapter"),
    "a pipeline beside": (_file("model_index.json", b"{}"), "bad-adapter"),
    "settings that import a module": (_setting("megatron_config", {"a": 1}), "bad-adapter"),
    "settings that read data": (_setting("eva_config", {"rho": 1}), "bad-adapter"),
    "settings that rewrite the base": (_setting("init_lora_weights", "pissa"), "bad-adapter"),
    "settings that copy layers": (_setting("layer_replication", [[0, 99]]), "bad-adapter"),
    "an endless rank": (_setting("r", 10**9), "bad-adapter"),
    "an endless rank of one layer": (_setting("rank_pattern", {"to_q": 10**9}), "bad-adapter"),
    "a truth as a rank": (_setting("r", True), "bad-adapter"),
    "an expression for names": (_setting("target_modules", "(a+)+$"), "bad-adapter"),
    "an expression among names": (_setting("target_modules", ["to_q", "(a+)+$"]), "bad-adapter"),
    "an expression for a rank": (_setting("rank_pattern", {"(a+)+$": 2}), "bad-adapter"),
    "settings that are no JSON": (_settings_text("{"), "bad-adapter"),
    "settings twice": (_settings_text('{"unet.r": 2, "unet.r": 3}'), "bad-adapter"),
    "settings that are a list": (_settings_text("[1]"), "bad-adapter"),
}


@pytest.mark.parametrize(("spoil", "code"), list(SPOILED.values()), ids=list(SPOILED))
def test_a_spoiled_adapter_is_refused_with_its_code(
    saved: Path, store: SealedStore, spoil: Callable[[Path], object], code: str
) -> None:
    spoil(saved)

    with pytest.raises(ImprimaturError) as refusal:
        sealable(saved, store)

    assert refusal.value.code == code, refusal.value.message


def test_what_is_no_digest_is_no_base(trained: Trained, tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refusal:
        save_adapter(trained.weights, tmp_path / "adapter", base="org/model", lineage=Lineage())
    assert refusal.value.code == "bad-digest"


def test_an_adapter_that_could_not_be_sealed_is_not_left_behind(saved: Path, tmp_path: Path) -> None:
    _setting("r", 0)(saved)

    with pytest.raises(Refused):
        save_adapter(saved / _WEIGHTS, tmp_path / "again", base=_NOWHERE, lineage=Lineage())

    assert not (tmp_path / "again").exists()


def test_logging_an_adapter_registers_a_version_and_names_run_and_base(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")

    with mlflow.start_run() as run:
        log_adapter(trained.weights, base=_NOWHERE, name="a", registered_model_name="styles", lineage=Lineage())

    folder = Path(mlflow.artifacts.download_artifacts("models:/styles/1"))
    assert (lineage_of(folder)["run_id"], admit_adapter(folder).base) == (run.info.run_id, _NOWHERE)


_MODEL_ID = "m-" + "a" * 32
_SOURCE = f"mlflow-artifacts:/1/models/{_MODEL_ID}/artifacts"


@pytest.fixture
def registry(governed_sqlite_url: str, settings: Settings, saved: Path) -> Iterator[Registry]:
    """A registry whose MLflow has the adapter as version 1 of ``styles``; its base is not sealed there."""
    database = Database(governed_sqlite_url)
    log = AuditLog(database)
    ledger = Ledger(database, log.clock, Rates(0.2, 2.5, "EUR"))
    signer = ModelSigner.at(settings.model_private)
    made = Registry(log, SealedStore(settings.sealed), ledger, settings.artifacts, signer)
    shutil.copytree(saved, settings.artifacts / f"1/models/{_MODEL_ID}/artifacts")
    with database.transaction() as session:
        session.execute(text("INSERT INTO registered_models (name) VALUES ('styles')"))
        session.execute(
            text(
                "INSERT INTO model_versions (name, version, source, storage_location, current_stage) "
                "VALUES ('styles', 1, :source, :source, 'None')"
            ),
            {"source": _SOURCE},
        )
    yield made
    database.dispose()


def test_the_registry_seals_an_adapter_once_its_base_is_sealed(
    registry: Registry, trained: Trained, ana: Principal
) -> None:
    with pytest.raises(Refused, match="not sealed here") as refusal:
        registry.seal(ana, "styles", 1)
    assert refusal.value.code == "unsealed-base"
    assert registry.log.recent()[0].action == "version.seal.refused"
    assert registry.sealed.manifests() == []

    base = registry.sealed.seal_folder(trained.base, artifact_type=PIPELINE_TYPE).digest
    sealed = registry.seal(ana, "styles", 1)

    assert sealed.lineage["base_model"] == base
    assert registry.manifest("styles", 1).artifact_type == ADAPTER_TYPE
    assert registry.verify("styles", 1) == ()


_WITHOUT_TORCH = """
import sys
from pathlib import Path
sys.modules.update(dict.fromkeys(["torch", "diffusers", "peft", "transformers", "safetensors"]))
from imprimatur.registry.adapter import sealable
from imprimatur.storage.service import SealedStore
print(sealable(Path(sys.argv[1]), SealedStore(Path(sys.argv[2]))).artifact_type)
"""


def test_admission_needs_none_of_the_libraries_that_load_adapters(saved: Path, store: SealedStore) -> None:
    command = [sys.executable, "-c", _WITHOUT_TORCH, str(saved), str(store.root)]

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == ADAPTER_TYPE
