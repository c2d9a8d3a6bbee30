"""The sealed store on object storage does what it does on disk, through fsspec, tried on its file system in memory."""

from __future__ import annotations

import json
import threading
import time
import uuid
from datetime import timedelta
from pathlib import Path

import fsspec
import pytest

from imprimatur.core.errors import BadInput, NotFound, Tampered
from imprimatur.storage.service import SealedStore

KIND = "application/vnd.test"
NOTE = "application/vnd.note"


@pytest.fixture
def address() -> str:
    """Where the objects are."""
    return f"memory://{uuid.uuid4().hex}/sealed"


@pytest.fixture
def store(address: str, tmp_path: Path) -> SealedStore:
    """An empty store."""
    return SealedStore(tmp_path / "local", objects=address)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of three files, two of them alike."""
    made = tmp_path / "folder"
    (made / "unet").mkdir(parents=True)
    (made / "index.json").write_bytes(b'{"unet": 1}')
    (made / "unet" / "weights.safetensors").write_bytes(b"weights" * 300_000)
    (made / "unet" / "copy.safetensors").write_bytes(b"weights" * 300_000)
    return made


def _objects(address: str, below: str) -> list[str]:
    files, prefix = fsspec.core.url_to_fs(address)
    files.invalidate_cache()
    return [name.rpartition("/")[2] for name in files.ls(f"{prefix}/{below}", detail=False)]


def _spoil(address: str, digest: str, data: bytes) -> None:
    files, prefix = fsspec.core.url_to_fs(address)
    files.pipe_file(f"{prefix}/blobs/sha256/{digest.removeprefix('sha256:')}", data)


def test_a_folder_is_sealed_once_and_comes_back_verified(
    store: SealedStore, folder: Path, address: str, tmp_path: Path
) -> None:
    first, second = (store.seal_folder(folder, artifact_type=KIND) for _ in range(2))

    assert first == second
    assert store.manifests() == [first.digest]
    assert len(_objects(address, "blobs/sha256")) == 2 + 1 + 1  # two contents, the empty configuration, the manifest
    copied = store.materialise(first.digest, tmp_path / "copy")
    assert (copied / "unet" / "weights.safetensors").read_bytes() == b"weights" * 300_000
    assert b"".join(store.stream(first.files[0].digest)) == b'{"unet": 1}'
    assert not [path for path in (tmp_path / "local").rglob("*") if path.is_file() and not path.name.startswith(".")]


def test_the_objects_are_an_oci_image_layout(store: SealedStore, folder: Path, address: str) -> None:
    manifest = store.seal_folder(folder, artifact_type=KIND)
    files, prefix = fsspec.core.url_to_fs(address)

    assert json.loads(files.cat_file(f"{prefix}/oci-layout")) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads(files.cat_file(f"{prefix}/index.json"))["manifests"]
    assert (entry["digest"], entry["artifactType"]) == (manifest.digest, KIND)


def test_another_process_sees_what_was_sealed(store: SealedStore, folder: Path, address: str, tmp_path: Path) -> None:
    gateway = SealedStore(tmp_path / "gateway", objects=address)
    manifest = store.seal_folder(folder, artifact_type=KIND)

    assert gateway.manifests() == [manifest.digest]
    assert gateway.verify(manifest.digest) == ()


def test_one_changed_byte_is_found_and_the_file_named(
    store: SealedStore, folder: Path, address: str, tmp_path: Path
) -> None:
    manifest = store.seal_folder(folder, artifact_type=KIND)
    _spoil(address, manifest.files[0].digest, b"[]")

    assert store.verify(manifest.digest) == ("index.json",)
    with pytest.raises(Tampered, match=r"index\.json"):
        store.materialise(manifest.digest, tmp_path / "copy")
    with pytest.raises(Tampered):
        list(store.stream(manifest.files[0].digest))


def test_what_is_not_there_is_not_found(store: SealedStore) -> None:
    for missing in (store.read_blob, store.stream, store.manifest):
        with pytest.raises(NotFound):
            missing("sha256:" + "0" * 64)


def test_an_export_is_a_layout_on_disk_with_what_is_attached(store: SealedStore, folder: Path, tmp_path: Path) -> None:
    manifest = store.seal_folder(folder, artifact_type=KIND)
    store.attach(manifest.digest, NOTE, b"signed")

    exported = SealedStore(store.export(manifest.digest, tmp_path / "export"), read_only=True)

    assert exported.verify(manifest.digest) == ()
    assert exported.attached(manifest.digest, NOTE) == store.attached(manifest.digest, NOTE) == (b"signed",)


def test_garbage_goes_once_it_is_old_and_nothing_else_does(store: SealedStore, folder: Path, tmp_path: Path) -> None:
    kept = store.seal_folder(folder, artifact_type=KIND)
    (folder / "index.json").write_bytes(b"[1]")
    lost = store.seal_folder(folder, artifact_type=KIND)
    loose = store.put_blob(b"loose")

    assert store.collect({kept.digest}).blobs == ()
    garbage = store.collect({kept.digest}, now=time.time() + timedelta(days=2).total_seconds())

    assert garbage.manifests == (lost.digest,)
    assert set(garbage.blobs) == {lost.digest, loose, lost.files[0].digest}
    assert store.manifests() == [kept.digest]
    assert store.verify(kept.digest) == ()


@pytest.mark.parametrize("address", ["file:///srv/sealed", "local:///srv/sealed", "/srv/sealed", "sealed"])
def test_a_folder_is_no_object_storage(address: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no object storage"):
        SealedStore(tmp_path / "local", objects=address)


def test_many_writers_of_one_store_lose_nothing(address: str, tmp_path: Path) -> None:
    def seal(number: int) -> None:
        folder = tmp_path / f"folder-{number}"
        folder.mkdir()
        (folder / "shared.json").write_text("{}")
        (folder / "own.txt").write_text(str(number))
        SealedStore(tmp_path / f"local-{number}", objects=address).seal_folder(folder, artifact_type=KIND)

    threads = [threading.Thread(target=seal, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    store = SealedStore(tmp_path / "local", objects=address)
    assert len(store.manifests()) == 8
    assert all(store.verify(digest) == () for digest in store.manifests())


def test_an_object_that_is_no_blob_stays_where_it_lies_and_is_told(store: SealedStore, address: str) -> None:
    loose = store.put_blob(b"loose")
    _spoil(address, "sha256:notahex", b"x")

    garbage = store.collect(set(), now=time.time() + timedelta(days=2).total_seconds())

    assert (loose in garbage.blobs, garbage.strays) == (True, 1)
    assert _objects(address, "blobs/sha256") == ["notahex"]
