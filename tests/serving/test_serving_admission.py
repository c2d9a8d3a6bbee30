"""``imprimatur admit``: yes only for released bytes, from the bundle and the public key alone; else no."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imprimatur.cli.main import main
from imprimatur.core.clock import utc_now
from imprimatur.core.keychain import rotate
from imprimatur.core.signing import SigningKey
from imprimatur.storage.service import SealedStore
from signed_bundles import BundleServer, bundle_document, release_entry, serving

OTHER = "sha256:" + "b" * 64

Ask = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    """The server's key; its public half is all that the asker has."""
    made = SigningKey.load_or_create(tmp_path / "server" / "decision.pem")
    (tmp_path / "asker").mkdir()
    shutil.copy(tmp_path / "server" / "decision.pub", tmp_path / "asker" / "decision.pub")
    return made


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """An exported layout of two files."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.txt").write_text("a")
    (folder / "b.txt").write_text("b")
    store = SealedStore(tmp_path / "sealed")
    manifest = store.seal_folder(folder, artifact_type="application/vnd.example")
    return store.export(manifest.digest, tmp_path / "layout")


@pytest.fixture
def digest(layout: Path) -> str:
    """The sealed manifest's digest."""
    return SealedStore(layout, read_only=True).manifests()[0]


@pytest.fixture
def server(key: SigningKey, digest: str) -> Iterator[tuple[BundleServer, str]]:
    """A server that released the digest to production, and its address."""
    made = BundleServer(bundle_document(key, [release_entry(key, digest)], now=utc_now()))
    with serving(made.app()) as address:
        yield made, address


@pytest.fixture
def ask(
    server: tuple[BundleServer, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Ask:
    """Run the command; its exit status and its JSON."""
    monkeypatch.setenv("IMPRIMATUR_HOME", str(tmp_path / "nothing"))
    monkeypatch.setenv("IMPRIMATUR_SERVER", server[1])

    def asked(*arguments: str) -> tuple[int, dict[str, Any]]:
        line = ["imprimatur", "admit", *arguments, "--key", str(tmp_path / "asker" / "decision.pub"), "--json"]
        monkeypatch.setattr("sys.argv", line)
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), json.loads(capsys.readouterr().out)

    return asked


def _code(answer: tuple[int, dict[str, Any]]) -> tuple[int, str]:
    return answer[0], answer[1]["error"]["code"]


def test_released_bytes_are_admitted(ask: Ask, digest: str, layout: Path, tmp_path: Path) -> None:
    status, said = ask(digest, "--env", "production", "--layout", str(layout))

    assert (status, said["admitted"], said["digest"]) == (0, True, digest)
    assert (said["model"], said["version"], said["decision_id"]) == ("digits", 1, "dec-1")
    assert not (tmp_path / "nothing").exists()


def test_other_bytes_and_other_environments_are_not(ask: Ask, digest: str) -> None:
    assert _code(ask(OTHER)) == (1, "not-released")
    assert _code(ask(digest, "--env", "staging")) == (1, "not-released")
    assert _code(ask("digits/1")) == (2, "bad-digest")


def test_a_changed_file_of_the_layout_is_named(ask: Ask, digest: str, layout: Path) -> None:
    manifest = SealedStore(layout, read_only=True).manifest(digest)
    blob = layout / "blobs" / "sha256" / manifest.files[1].digest.removeprefix("sha256:")
    blob.chmod(0o644)
    blob.write_text("c")

    answer = ask(digest, "--layout", str(layout))

    assert _code(answer) == (1, "file-changed")
    assert answer[1]["error"]["files"] == ["b.txt"]


def test_a_layout_that_only_can_be_read_is_verified(ask: Ask, digest: str, layout: Path) -> None:
    before = sorted(layout.rglob("*"))

    assert ask(digest, "--layout", str(layout))[0] == 0
    assert sorted(layout.rglob("*")) == before


def _entries(layout: Path, change: Callable[[list[Any]], list[Any]]) -> None:
    """Rewrite the list of manifests in the layout's index."""
    index = layout / "index.json"
    document = json.loads(index.read_bytes())
    index.write_text(json.dumps({**document, "manifests": change(document["manifests"])}))


def _other(**annotations: str) -> dict[str, Any]:
    kind = "application/vnd.oci.image.manifest.v1+json"
    return {"mediaType": kind, "digest": OTHER, "size": 2, "annotations": annotations}


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("tag", ["org.opencontainers.image.ref.name", "io.containerd.image.name"])
def test_a_layout_that_names_other_bytes_too_is_refused(
    ask: Ask, digest: str, layout: Path, tag: str, *, tied: bool
) -> None:
    """Whoever pulls the tag would run what nobody released."""
    said = {"imprimatur.subject": digest} if tied else {}
    _entries(layout, lambda entries: [_other(**{tag: "sealed"}, **said), *entries])

    answer = ask(digest, "--layout", str(layout))

    assert _code(answer) == (1, "other-manifests")
    assert OTHER in answer[1]["error"]["message"]


def test_a_layout_with_bytes_that_no_tag_names_is_refused(ask: Ask, digest: str, layout: Path) -> None:
    _entries(layout, lambda entries: [*entries, {**_other(), "annotations": None}])

    assert _code(ask(digest, "--layout", str(layout))) == (1, "other-manifests")


@pytest.mark.parametrize("content", [None, b"{", b"[]", b'{"manifests": [1]}', b'{"manifests": [{}]}', b"[" * 200_000])
def test_a_layout_without_a_readable_index_is_refused(
    ask: Ask, digest: str, layout: Path, content: bytes | None
) -> None:
    (layout / "index.json").unlink()
    if content is not None:
        (layout / "index.json").write_bytes(content)

    assert _code(ask(digest, "--layout", str(layout))) == (1, "bad-index")


def test_what_is_attached_to_the_bytes_may_lie_beside_them(ask: Ask, digest: str, tmp_path: Path) -> None:
    store = SealedStore(tmp_path / "sealed")
    store.attach(digest, "application/vnd.example.signature", b"signature")
    exported = store.export(digest, tmp_path / "signed")

    assert ask(digest, "--layout", str(exported))[0] == 0


def test_revoked_bytes_are_not_admitted(
    ask: Ask, server: tuple[BundleServer, str], key: SigningKey, digest: str
) -> None:
    entry = release_entry(key, digest)
    server[0].document = bundle_document(key, [entry], now=utc_now(), revoked=(digest,))

    assert _code(ask(digest)) == (1, "revoked")


def test_a_denied_release_is_not_admitted(
    ask: Ask, server: tuple[BundleServer, str], key: SigningKey, digest: str
) -> None:
    server[0].document = bundle_document(key, [release_entry(key, digest, verdict="deny")], now=utc_now())

    assert _code(ask(digest)) == (1, "not-allowed")


def test_an_expired_bundle_admits_nothing(
    ask: Ask, server: tuple[BundleServer, str], key: SigningKey, digest: str
) -> None:
    server[0].document = bundle_document(key, [release_entry(key, digest)], now=utc_now(), minutes=-1)

    assert _code(ask(digest)) == (3, "bundle-expired")


def test_a_bundle_by_another_key_admits_nothing(ask: Ask, server: tuple[BundleServer, str], digest: str) -> None:
    stranger = SigningKey.generate()
    server[0].document = bundle_document(stranger, [release_entry(stranger, digest)], now=utc_now())

    assert _code(ask(digest)) == (1, "bad-signature")


def test_a_succeeding_key_is_followed(
    ask: Ask, server: tuple[BundleServer, str], key: SigningKey, digest: str, tmp_path: Path
) -> None:
    chain = rotate(tmp_path / "server" / "decision.pem", utc_now())
    server[0].document = bundle_document(chain.current, [release_entry(key, digest)], now=utc_now())
    server[0].successions = list(chain.statements)

    assert ask(digest)[0] == 0


def test_whoever_was_given_the_new_key_takes_no_bundle_by_the_old_one(
    ask: Ask, server: tuple[BundleServer, str], key: SigningKey, digest: str, tmp_path: Path
) -> None:
    chain = rotate(tmp_path / "server" / "decision.pem", utc_now())
    shutil.copy(tmp_path / "server" / "decision.pub", tmp_path / "asker" / "decision.pub")
    server[0].successions = list(chain.statements)
    by_either = (bundle_document(one, [release_entry(key, digest)], now=utc_now()) for one in (key, chain.current))

    server[0].document = next(by_either)
    assert _code(ask(digest)) == (1, "retired-key")

    server[0].document = next(by_either)  # what the old key decided once holds
    assert ask(digest)[0] == 0


@pytest.mark.parametrize("ending", ["", "/"])
def test_a_servers_address_may_end_in_a_slash(
    ask: Ask, server: tuple[BundleServer, str], digest: str, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    monkeypatch.setenv("IMPRIMATUR_SERVER", f"{server[1]}{ending}")

    assert ask(digest)[0] == 0


def test_without_a_server_nobody_can_say(ask: Ask, digest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMPRIMATUR_SERVER", "http://127.0.0.1:9")

    assert _code(ask(digest)) == (3, "server-unreachable")


def test_a_saved_bundle_needs_no_server(
    ask: Ask, server: tuple[BundleServer, str], digest: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMPRIMATUR_SERVER", "http://127.0.0.1:9")
    saved = tmp_path / "bundle.json"
    saved.write_text(json.dumps(server[0].document))

    assert ask(digest, "--bundle", str(saved))[0] == 0
    saved.write_text("{")
    assert _code(ask(digest, "--bundle", str(saved))) == (2, "no-bundle-file")
