"""Weights come whole and with the right digest or not at all, and what is not published is recorded as such."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from imprimatur_evaluators.backbones.catalogue import Catalogue, DigestOrigin
from imprimatur_evaluators.backbones.fetching import fetch, fetch_published, import_published
from imprimatur_evaluators.backbones.publication import Published
from imprimatur_evaluators.backbones.published import PUBLISHED
from imprimatur_evaluators.errors import BadWeights
from weights_server import WeightsServer, weights_server

FILE = save({"w": np.arange(50_000, dtype=np.float32)})
DIGEST = f"sha256:{sha256(FILE).hexdigest()}"
OTHER = save({"w": np.zeros(50_000, dtype=np.float32)})


@pytest.fixture
def server() -> Iterator[WeightsServer]:
    with weights_server() as served:
        served.files["/w.safetensors"] = FILE
        yield served


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return Catalogue(tmp_path / "weights")


@pytest.fixture
def wanted(server: WeightsServer) -> Published:
    """Weights whose digest is not published."""
    return Published(
        name="tiny",
        architecture="open-clip",
        files=(f"{server.address}/w.safetensors",),
        licence="CC0-1.0",
        source="https://example.org/tiny",
    )


def _refusal(wanted: Published, catalogue: Catalogue) -> BadWeights:
    """The refusal of a fetch that leaves the catalogue, down to its files, as it was."""
    before = {path: path.read_bytes() for path in catalogue.root.rglob("*")} if catalogue.root.exists() else {}
    known = {entry.name: entry for entry in catalogue.entries()}
    with pytest.raises(BadWeights) as caught:
        fetch_published(wanted, catalogue, known.get(wanted.name))
    left = {path: path.read_bytes() for path in catalogue.root.rglob("*")} if catalogue.root.exists() else {}
    assert left == before
    return caught.value


def test_a_file_with_the_published_digest_is_kept(wanted: Published, catalogue: Catalogue) -> None:
    entry = fetch_published(replace(wanted, digest=DIGEST), catalogue)
    assert entry.digest == DIGEST
    assert entry.digest_origin is DigestOrigin.PUBLISHED
    assert catalogue.read("tiny") == FILE
    assert entry.source == f"https://example.org/tiny ({wanted.files[0]})"


def test_a_file_with_another_digest_than_published_is_refused(wanted: Published, catalogue: Catalogue) -> None:
    refused = _refusal(replace(wanted, digest=f"sha256:{'0' * 64}"), catalogue)
    assert refused.code == "digest-differs"
    assert refused.facts == {"found": DIGEST, "expected": f"sha256:{'0' * 64}"}
    assert catalogue.entries() == []


def test_where_no_digest_is_published_the_first_is_recorded_and_says_so(
    wanted: Published, catalogue: Catalogue
) -> None:
    entry = fetch_published(wanted, catalogue)
    assert entry.digest == DIGEST
    assert Catalogue(catalogue.root).entry("tiny").digest_origin is DigestOrigin.FIRST_FETCH


def test_a_later_file_that_differs_from_the_first_is_refused(
    wanted: Published, catalogue: Catalogue, server: WeightsServer
) -> None:
    first = fetch_published(wanted, catalogue)
    assert fetch_published(wanted, catalogue, first) == first
    server.files["/w.safetensors"] = OTHER
    assert _refusal(wanted, catalogue).code == "digest-differs"
    assert catalogue.verify("tiny") == first


def test_a_file_cut_short_is_refused(wanted: Published, catalogue: Catalogue, server: WeightsServer) -> None:
    server.cut.add("/w.safetensors")
    assert _refusal(wanted, catalogue).code == "download-failed"


def test_a_server_that_is_not_there_is_told(wanted: Published, catalogue: Catalogue) -> None:
    assert _refusal(replace(wanted, files=("http://127.0.0.1:1/w",)), catalogue).code == "download-failed"


def test_an_address_that_does_not_exist_gives_way_to_the_next(
    wanted: Published, catalogue: Catalogue, server: WeightsServer
) -> None:
    mirrored = replace(wanted, files=(f"{server.address}/missing", *wanted.files))
    assert fetch_published(mirrored, catalogue).digest == DIGEST
    assert server.asked == ["/missing", "/w.safetensors"]
    assert _refusal(replace(wanted, files=(f"{server.address}/missing",)), catalogue).code == "download-failed"


def test_a_file_that_could_run_code_is_refused_even_with_the_published_digest(
    wanted: Published, catalogue: Catalogue, server: WeightsServer
) -> None:
    page = b"<html>Sign in to download</html>"
    server.files["/w.safetensors"] = page
    refused = _refusal(replace(wanted, digest=f"sha256:{sha256(page).hexdigest()}"), catalogue)
    assert refused.code == "unknown-format"


@pytest.mark.parametrize("address", ["http://example.org/w", "ftp://example.org/w"])
def test_only_https_is_spoken(wanted: Published, catalogue: Catalogue, server: WeightsServer, address: str) -> None:
    assert _refusal(replace(wanted, files=(address,)), catalogue).code == "insecure-address"
    server.redirects["/moved"] = address
    moved = replace(wanted, files=(f"{server.address}/moved",))
    assert _refusal(moved, catalogue).code in {"insecure-address", "download-failed"}


def test_a_redirect_is_followed(wanted: Published, catalogue: Catalogue, server: WeightsServer) -> None:
    server.redirects["/moved"] = wanted.files[0]
    assert fetch_published(replace(wanted, files=(f"{server.address}/moved",)), catalogue).digest == DIGEST


def test_files_of_the_hub_come_from_the_endpoint_that_is_set(
    wanted: Published, catalogue: Catalogue, server: WeightsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = replace(wanted, files=("hub:owner/repository/w.safetensors@abc123",))
    assert hub.addresses == ("https://huggingface.co/owner/repository/resolve/abc123/w.safetensors",)
    monkeypatch.setenv("HF_ENDPOINT", f"{server.address}/")
    server.files["/owner/repository/resolve/abc123/w.safetensors"] = FILE
    assert fetch_published(hub, catalogue).digest == DIGEST


def test_offline_means_offline(
    wanted: Published, catalogue: Catalogue, server: WeightsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert _refusal(wanted, catalogue).code == "offline"
    assert server.asked == []


def test_progress_ends_with_all_bytes(wanted: Published, catalogue: Catalogue) -> None:
    seen: list[tuple[int, int | None]] = []
    fetch_published(wanted, catalogue, progress=lambda done, whole: seen.append((done, whole)))
    assert seen[-1] == (len(FILE), len(FILE))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_what_is_there_is_verified_and_not_fetched_again(
    catalogue: Catalogue, server: WeightsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    path = PUBLISHED["dinov2-vit-s-14"].addresses[0].removeprefix(server.address)
    server.files[path] = FILE
    first = fetch("dinov2-vit-s-14", catalogue)
    assert fetch("dinov2-vit-s-14", catalogue) == first
    assert server.asked == [path]
    fetch("dinov2-vit-s-14", catalogue, again=True)
    assert server.asked == [path, path]
    first.path.write_bytes(OTHER)
    with pytest.raises(BadWeights) as caught:
        fetch("dinov2-vit-s-14", catalogue)
    assert caught.value.code == "weights-changed"


def test_known_weights_are_imported_from_a_folder_by_their_own_name(catalogue: Catalogue, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(FILE)
    entry = import_published("dinov2-vit-l-14", tmp_path, catalogue)
    assert (entry.digest, entry.digest_origin, entry.architecture) == (DIGEST, DigestOrigin.IMPORT, "dinov2")
    assert entry.licence == "Apache-2.0"
    with pytest.raises(BadWeights, match=r"HPS_v2_compressed\.pt") as caught:
        import_published("hpsv2", tmp_path, catalogue)
    assert caught.value.code == "weights-missing"


def test_an_import_must_have_the_published_digest(catalogue: Catalogue, tmp_path: Path) -> None:
    file = tmp_path / "weights-inception-2015-12-05-6726825d.pth"
    file.write_bytes(FILE)
    with pytest.raises(BadWeights, match="6726825d") as caught:
        import_published("inception-2015", tmp_path, catalogue)
    assert caught.value.code == "digest-differs"
    assert list(catalogue.root.iterdir()) == []


@pytest.mark.parametrize("known", PUBLISHED.values(), ids=PUBLISHED)
def test_every_known_file_is_at_an_https_address_under_a_stated_licence(known: Published) -> None:
    assert known.addresses
    assert all(address.startswith("https://") for address in known.addresses)
    assert known.licence
    assert known.source
    assert known.digest is None or known.digest.startswith("sha256:")
    assert known.config["preprocess"]["size"] in {224, 288, 299}
