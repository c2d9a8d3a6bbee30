"""Garbage collection: what nothing refers to goes once it is old; everything else stays whole."""

from __future__ import annotations

import os
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imprimatur.core.errors import Tampered
from imprimatur.storage.collection import collecting
from imprimatur.storage.service import SealedStore

KIND = "application/vnd.test"
DAY = timedelta(hours=24)
LATER = 2 * DAY.total_seconds()


@pytest.fixture
def store(tmp_path: Path) -> SealedStore:
    """An empty store."""
    return SealedStore(tmp_path / "sealed")


def _folder(tmp_path: Path, name: str, **files: str) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    for file, content in files.items():
        (folder / file).write_text(content)
    return folder


def _later() -> float:
    return time.time() + LATER


def test_what_nothing_refers_to_goes_and_shared_blobs_stay(store: SealedStore, tmp_path: Path) -> None:
    kept = store.seal_folder(_folder(tmp_path, "kept", shared="s", own="k"), artifact_type=KIND)
    lost = store.seal_folder(_folder(tmp_path, "lost", shared="s", own="l"), artifact_type=KIND)
    loose, wanted = store.put_blob(b"loose"), store.put_blob(b"wanted")

    garbage = store.collect({kept.digest, wanted}, now=_later())

    assert garbage.manifests == (lost.digest,)
    assert set(garbage.blobs) == {
        loose,
        lost.digest,
        *({f.digest for f in lost.files} - {f.digest for f in kept.files}),
    }
    assert store.manifests() == [kept.digest]
    assert store.verify(kept.digest) == ()
    assert store.read_blob(wanted) == b"wanted"
    assert store.collect({kept.digest, wanted}, now=_later()).document() == {
        "manifests": [],
        "blobs": [],
        "unfinished": 0,
        "strays": 0,
        "bytes": 0,
    }


def test_what_is_attached_lives_as_long_as_its_subject(store: SealedStore, tmp_path: Path) -> None:
    kept = store.seal_folder(_folder(tmp_path, "kept", own="k"), artifact_type=KIND)
    lost = store.seal_folder(_folder(tmp_path, "lost", own="l"), artifact_type=KIND)
    for manifest in (kept, lost):
        store.attach(manifest.digest, "application/vnd.note", manifest.digest.encode())

    store.collect({kept.digest}, now=_later())

    assert store.attached(kept.digest, "application/vnd.note") == (kept.digest.encode(),)
    assert store.attached(lost.digest, "application/vnd.note") == ()
    assert store.collect({kept.digest}, now=_later()).blobs == ()


def test_what_is_young_stays(store: SealedStore, tmp_path: Path) -> None:
    sealed = store.seal_folder(_folder(tmp_path, "young", own="y"), artifact_type=KIND)

    assert store.collect(set()).blobs == ()
    assert store.manifests() == [sealed.digest]


def test_what_is_sealed_again_is_young_again(store: SealedStore, tmp_path: Path) -> None:
    folder = _folder(tmp_path, "again", own="a")
    sealed = store.seal_folder(folder, artifact_type=KIND)
    for blob in (store.root / "blobs" / "sha256").iterdir():
        os.utime(blob, (0, 0))
    store.seal_folder(folder, artifact_type=KIND)

    assert store.collect(set()).blobs == ()
    assert store.verify(sealed.digest) == ()


def test_a_dry_run_changes_nothing(store: SealedStore, tmp_path: Path) -> None:
    lost = store.seal_folder(_folder(tmp_path, "lost", own="l"), artifact_type=KIND)
    before = {path: path.stat().st_mtime for path in store.root.rglob("*") if path.is_file()}

    assert store.collect(set(), now=_later(), remove=False).manifests == (lost.digest,)
    assert before.items() <= {path: path.stat().st_mtime for path in store.root.rglob("*") if path.is_file()}.items()


def test_unfinished_files_of_the_dead_go(store: SealedStore) -> None:
    leftover = store.root / ".incoming" / "half"
    leftover.write_bytes(b"half")

    assert store.collect(set()).unfinished == 0
    assert store.collect(set(), now=_later()).unfinished == 1
    assert not leftover.exists()


def test_a_changed_manifest_stops_the_collection_before_anything_goes(store: SealedStore, tmp_path: Path) -> None:
    kept = store.seal_folder(_folder(tmp_path, "kept", own="k"), artifact_type=KIND)
    loose = store.put_blob(b"loose")
    path = store.blob_path(kept.digest)
    path.chmod(0o644)
    path.write_bytes(b"{}")

    with pytest.raises(Tampered):
        store.collect({kept.digest}, now=_later())

    assert store.read_blob(loose) == b"loose"


def test_what_is_no_blob_stays_where_it_lies_and_is_told(store: SealedStore) -> None:
    loose = store.put_blob(b"loose")
    blobs = store.root / "blobs" / "sha256"
    (blobs / ".nfs0001").write_text("left by a file system")
    (blobs / "lost+found").mkdir()

    garbage = store.collect(set(), now=_later())

    assert loose in garbage.blobs
    assert garbage.strays == 2
    assert sorted(path.name for path in blobs.iterdir()) == [".nfs0001", "lost+found"]


def test_sealing_waits_while_a_collection_runs(store: SealedStore, tmp_path: Path) -> None:
    sealed: list[str] = []
    with collecting(store.root):
        writer = threading.Thread(target=lambda: sealed.append(store.put_blob(b"late")))
        writer.start()
        writer.join(0.2)
        assert sealed == []
    writer.join(10)

    assert store.read_blob(sealed[0]) == b"late"


@settings(max_examples=30, deadline=None)
@given(
    contents=st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=4, unique=True), min_size=1, max_size=5),
    data=st.data(),
)
def test_whatever_is_kept_stays_whole(
    contents: list[list[int]], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("store")
    store = SealedStore(place / "sealed")
    sealed = [
        store.seal_folder(_folder(place, f"f{n}", **{f"x{c}": str(c) for c in files}), artifact_type=KIND).digest
        for n, files in enumerate(contents)
    ]
    kept = set(data.draw(st.lists(st.sampled_from(sealed), unique=True)))

    store.collect(kept, now=_later())

    assert set(store.manifests()) == kept
    assert all(store.verify(digest) == () for digest in kept)
