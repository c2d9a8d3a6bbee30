"""The sealed store: written once, shared, verified, and never half done."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from imprimatur.core.digests import digest_of_bytes
from imprimatur.core.errors import BadInput, ImprimaturError, NotFound, Refused, Tampered
from imprimatur.storage.model import check_paths
from imprimatur.storage.service import SealedStore

_KIND = "application/vnd.test"
_INDEX = b'{"unet": 1}'


@pytest.fixture
def store(tmp_path: Path) -> SealedStore:
    """An empty store."""
    return SealedStore(tmp_path / "sealed")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of three files, two of them alike."""
    made = tmp_path / "folder"
    (made / "unet").mkdir(parents=True)
    (made / "index.json").write_bytes(_INDEX)
    (made / "unet" / "weights.safetensors").write_bytes(b"weights")
    (made / "unet" / "copy.safetensors").write_bytes(b"weights")
    return made


def _spoil(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def _blobs(store: SealedStore) -> set[str]:
    return {path.name for path in (store.root / "blobs" / "sha256").iterdir()}


def test_the_same_files_make_the_same_manifest_and_are_kept_once(store: SealedStore, folder: Path) -> None:
    first = store.seal_folder(folder, artifact_type=_KIND)
    before = _blobs(store)

    second = store.seal_folder(folder, artifact_type=_KIND)

    assert second == first
    assert _blobs(store) == before
    assert len(before) == 2 + 1 + 1  # two contents, the empty configuration, the manifest
    assert store.manifests() == [first.digest]


def test_a_fine_tune_shares_what_it_did_not_change(store: SealedStore, folder: Path) -> None:
    store.seal_folder(folder, artifact_type=_KIND)
    (folder / "unet" / "weights.safetensors").write_bytes(b"tuned")
    before = _blobs(store)

    store.seal_folder(folder, artifact_type=_KIND)

    assert len(_blobs(store) - before) == 2  # the tuned weights and the manifest


def test_the_store_is_an_oci_image_layout(store: SealedStore, folder: Path) -> None:
    manifest = store.seal_folder(folder, artifact_type=_KIND)

    layout = json.loads((store.root / "oci-layout").read_bytes())
    (entry,) = json.loads((store.root / "index.json").read_bytes())["manifests"]
    document = json.loads(store.read_blob(entry["digest"]))

    assert layout == {"imageLayoutVersion": "1.0.0"}
    assert (entry["digest"], entry["artifactType"]) == (manifest.digest, _KIND)
    assert [layer["annotations"]["org.opencontainers.image.title"] for layer in document["layers"]] == [
        "index.json",
        "unet/copy.safetensors",
        "unet/weights.safetensors",
    ]
    assert store.read_blob(document["config"]["digest"]) == b"{}"


def test_one_changed_byte_is_found_and_the_file_named(store: SealedStore, folder: Path, tmp_path: Path) -> None:
    manifest = store.seal_folder(folder, artifact_type=_KIND)
    _spoil(store.blob_path(digest_of_bytes(_INDEX)), b"[]")

    assert store.verify(manifest.digest) == ("index.json",)
    with pytest.raises(Tampered, match=r"'index\.json' is not what was sealed") as refusal:
        store.materialise(manifest.digest, tmp_path / "copy")
    assert refusal.value.code == "file-changed"
    assert not (tmp_path / "copy").exists()


def test_a_missing_blob_is_named_by_every_path_that_needs_it(store: SealedStore, folder: Path, tmp_path: Path) -> None:
    manifest = store.seal_folder(folder, artifact_type=_KIND)
    store.blob_path(digest_of_bytes(b"weights")).unlink()

    assert store.verify(manifest.digest) == ("unet/copy.safetensors", "unet/weights.safetensors")
    with pytest.raises(Tampered, match="missing from the sealed store"):
        store.materialise(manifest.digest, tmp_path / "copy")


def test_a_changed_manifest_is_refused(store: SealedStore, folder: Path) -> None:
    manifest = store.seal_folder(folder, artifact_type=_KIND)
    blob = store.blob_path(manifest.digest)
    _spoil(blob, blob.read_bytes().replace(b"index.json", b"other.json"))

    with pytest.raises(Tampered) as refusal:
        store.verify(manifest.digest)
    assert refusal.value.code == "blob-changed"


def test_a_copy_has_the_sealed_bytes(store: SealedStore, folder: Path, tmp_path: Path) -> None:
    manifest = store.seal_folder(folder, artifact_type=_KIND)

    copy = store.materialise(manifest.digest, tmp_path / "deep" / "copy")

    assert (copy / "unet" / "weights.safetensors").read_bytes() == b"weights"
    assert sorted(path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file()) == [
        file.path for file in manifest.files
    ]


def test_a_copy_overwrites_nothing(store: SealedStore, folder: Path, tmp_path: Path) -> None:
    manifest = store.seal_folder(folder, artifact_type=_KIND)

    with pytest.raises(BadInput, match="has files in it"):
        store.materialise(manifest.digest, folder)


def test_blobs_are_read_back_verified(store: SealedStore, tmp_path: Path) -> None:
    digest = store.put_blob(b"image")
    (tmp_path / "same").write_bytes(b"image")

    assert store.put_blob_file(tmp_path / "same") == digest == digest_of_bytes(b"image")
    assert store.read_blob(digest) == b"image"
    _spoil(store.blob_path(digest), b"forged")
    with pytest.raises(Tampered):
        store.read_blob(digest)


def test_a_blob_is_read_only_on_disk(store: SealedStore) -> None:
    assert store.blob_path(store.put_blob(b"image")).stat().st_mode & 0o222 == 0


@pytest.mark.parametrize("digest", ["sha256:abc", "../../etc/passwd", "", "sha512:" + "0" * 64])
def test_what_is_no_digest_names_no_file(store: SealedStore, digest: str) -> None:
    with pytest.raises(BadInput, match="is no digest"):
        store.read_blob(digest)


def test_an_unknown_digest_is_not_found(store: SealedStore) -> None:
    with pytest.raises(NotFound):
        store.manifest("sha256:" + "0" * 64)


def _link(folder: Path) -> None:
    (folder / "link.json").symlink_to("/etc/passwd")


def _linked_folder(folder: Path) -> None:
    (folder / "vae").symlink_to("/etc")


def _fifo(folder: Path) -> None:
    os.mkfifo(folder / "pipe.json")


def _git(folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("")


def _case(folder: Path) -> None:
    (folder / "Index.json").write_text("{}")


def _unicode(folder: Path) -> None:
    (folder / "\u00e9.json").write_text("{}")
    (folder / "e\u0301.json").write_text("{}")


def _backslash(folder: Path) -> None:
    (folder / "a\\b.json").write_text("{}")


def _newline(folder: Path) -> None:
    (folder / "a\nb.json").write_text("{}")


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (_link, "not-a-file"),
        (_linked_folder, "not-a-file"),
        (_fifo, "not-a-file"),
        (_git, "bad-path"),
        (_case, "path-collision"),
        (_unicode, "path-collision"),
        (_backslash, "bad-path"),
        (_newline, "bad-path"),
    ],
)
def test_odd_folders_are_refused_and_nothing_is_stored(
    store: SealedStore, folder: Path, spoil: Callable[[Path], None], code: str
) -> None:
    spoil(folder)

    with pytest.raises(Refused) as refusal:
        store.seal_folder(folder, artifact_type=_KIND)

    assert refusal.value.code == code
    assert _blobs(store) == set()
    assert list((store.root / ".staging").iterdir()) == []


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../b", "a//b", "./a", "a/", "", "a/.git/b", "C:x", "a\u202eb"]
)
def test_paths_with_two_readings_are_refused(path: str) -> None:
    with pytest.raises(Refused) as refusal:
        check_paths([path])
    assert refusal.value.code == "bad-path"


def test_an_empty_folder_is_refused(store: SealedStore, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(ImprimaturError) as refusal:
        store.seal_folder(tmp_path / "empty", artifact_type=_KIND)
    assert refusal.value.code == "empty-folder"


def test_the_copy_is_private_so_that_a_later_swap_changes_nothing(store: SealedStore, folder: Path) -> None:
    with store.stage(folder) as staging:
        (folder / "index.json").write_text("swapped")
        manifest = store.seal(staging, artifact_type=_KIND)

    sealed = {file.path: store.read_blob(file.digest) for file in manifest.files}
    assert sealed["index.json"] == _INDEX


def test_what_is_staged_and_not_sealed_is_gone(store: SealedStore, folder: Path) -> None:
    with store.stage(folder):
        pass

    assert _blobs(store) == set()
    assert list((store.root / ".staging").iterdir()) == []


_KILLED_WHILE_STAGING = """
import os, sys
from pathlib import Path
from imprimatur.storage.service import SealedStore
store = SealedStore(Path(sys.argv[1]))
with store.stage(Path(sys.argv[2])):
    os.kill(os.getpid(), 9)
"""


def test_leftovers_of_a_killed_process_are_swept_away_and_harm_nothing(store: SealedStore, folder: Path) -> None:
    subprocess.run([sys.executable, "-c", _KILLED_WHILE_STAGING, str(store.root), str(folder)], check=False)
    (store.root / ".incoming" / "unfinished").write_bytes(b"half")
    assert len(list((store.root / ".staging").iterdir())) == 2  # the copy and its lock

    with store.stage(folder) as living:
        manifest = SealedStore(store.root).seal_folder(folder, artifact_type=_KIND)
        assert [place for place in (store.root / ".staging").iterdir() if place.is_dir()] == [living.folder]

    assert store.verify(manifest.digest) == ()


_SEAL_AND_MEASURE = """
import re, sys
from pathlib import Path
from imprimatur.storage.service import SealedStore
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
store = SealedStore(Path(sys.argv[1]))
before = peak()
store.seal_folder(Path(sys.argv[2]), artifact_type="test")
print(peak() - before)
"""


def test_memory_does_not_grow_with_the_file(store: SealedStore, folder: Path) -> None:
    with (folder / "large.safetensors").open("wb") as stream:
        stream.truncate(128 << 20)

    command = [sys.executable, "-c", _SEAL_AND_MEASURE, str(store.root), str(folder)]
    grown = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert grown < 32 << 10  # KiB


def test_many_writers_of_one_store_lose_nothing(store: SealedStore, tmp_path: Path) -> None:
    def seal(number: int) -> None:
        mine = tmp_path / f"folder-{number}"
        mine.mkdir()
        (mine / "shared.json").write_text("{}")
        (mine / "own.txt").write_text(str(number))
        SealedStore(store.root).seal_folder(mine, artifact_type=_KIND)

    threads = [threading.Thread(target=seal, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(store.manifests()) == 8
    assert all(store.verify(digest) == () for digest in store.manifests())


def test_an_export_holds_one_manifest_and_nothing_of_ours(store: SealedStore, folder: Path, tmp_path: Path) -> None:
    manifest = store.seal_folder(folder, artifact_type=_KIND)
    store.put_blob(b"something else")

    exported = store.export(manifest.digest, tmp_path / "export")

    assert sorted(path.name for path in exported.iterdir()) == ["blobs", "index.json", "oci-layout"]
    assert SealedStore(exported).verify(manifest.digest) == ()
    assert len(_blobs(SealedStore(exported))) == 4


def test_what_is_attached_comes_along_and_is_no_model(store: SealedStore, folder: Path, tmp_path: Path) -> None:
    manifest = store.seal_folder(folder, artifact_type=_KIND)
    for data in (b"first", b"second"):
        store.attach(manifest.digest, "application/vnd.note", data)
    store.attach(manifest.digest, "application/vnd.note", b"first")
    store.attach(manifest.digest, "application/vnd.other", b"third")

    exported = SealedStore(store.export(manifest.digest, tmp_path / "export"), read_only=True)

    for place in (store, exported):
        assert place.manifests() == [manifest.digest]
        assert place.attached(manifest.digest, "application/vnd.note") == (b"first", b"second")
        assert place.attached(manifest.digest, "application/vnd.other") == (b"third",)
    with pytest.raises(NotFound):
        store.attach(digest_of_bytes(b"nothing"), "application/vnd.note", b"first")


def test_a_changed_attachment_is_refused(store: SealedStore, folder: Path) -> None:
    manifest = store.seal_folder(folder, artifact_type=_KIND)
    store.attach(manifest.digest, "application/vnd.note", b"first")
    _spoil(store.blob_path(digest_of_bytes(b"first")), b"other")

    with pytest.raises(Tampered):
        store.attached(manifest.digest, "application/vnd.note")
