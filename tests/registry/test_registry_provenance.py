"""Model signatures: made from the sealed digests alone, accepted by the public tool, and about exactly these files."""

from __future__ import annotations

import datetime
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from model_signing import verifying

from imprimatur.core.errors import BadInput, Tampered
from imprimatur.registry.provenance import BUNDLE_TYPE, ModelSigner, check_certified, check_signature, require_signed
from imprimatur.storage.model import Manifest
from imprimatur.storage.service import SealedStore

NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture
def store(tmp_path: Path) -> SealedStore:
    """A store with one sealed folder of three files."""
    folder = tmp_path / "folder"
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    (folder / "unet" / "config.json").write_text('{"a": 1}')
    (folder / "unet" / "weights.safetensors").write_bytes(b"weights")
    made = SealedStore(tmp_path / "sealed")
    made.seal_folder(folder, artifact_type="application/vnd.test")
    return made


@pytest.fixture
def manifest(store: SealedStore) -> Manifest:
    """What was sealed."""
    return store.manifest(store.manifests()[0])


@pytest.fixture
def signer(tmp_path: Path) -> ModelSigner:
    """The server's signer, with a fresh key."""
    return ModelSigner.at(tmp_path / "keys" / "model.pem")


def test_the_public_tool_accepts_the_signature_on_the_files(
    store: SealedStore, manifest: Manifest, signer: ModelSigner, tmp_path: Path
) -> None:
    files = store.materialise(manifest.digest, tmp_path / "files")
    (tmp_path / "model.sig").write_bytes(signer.sign(manifest))
    config: Any = verifying.Config  # the library's initialisers carry no types
    tool = config().use_elliptic_key_verifier(public_key=signer.key.with_suffix(".pub"))

    tool.verify(files, tmp_path / "model.sig")
    (files / "unet" / "config.json").write_text('{"a": 2}')
    with pytest.raises(ValueError, match="Hash mismatch"):
        tool.verify(files, tmp_path / "model.sig")


def test_signing_reads_no_file_again(store: SealedStore, manifest: Manifest, signer: ModelSigner) -> None:
    for blob in (store.root / "blobs" / "sha256").iterdir():
        blob.unlink()

    check_signature(manifest, signer.sign(manifest), signer.key.with_suffix(".pub"))


def test_a_signature_holds_for_no_other_files(manifest: Manifest, signer: ModelSigner) -> None:
    signature, public = signer.sign(manifest), signer.key.with_suffix(".pub")
    one, *others = manifest.files
    swapped = (type(one)(one.path, one.size, others[0].digest), *others)

    for files in (tuple(others), swapped, (*manifest.files, type(one)("extra.txt", 1, one.digest))):
        with pytest.raises(Tampered) as refused:
            check_signature(Manifest(manifest.digest, manifest.artifact_type, files), signature, public)
        assert refused.value.code == "bad-model-signature"


def test_a_signature_by_another_key_or_none_is_refused(manifest: Manifest, signer: ModelSigner, tmp_path: Path) -> None:
    other = ModelSigner.at(tmp_path / "other" / "model.pem")
    public = signer.key.with_suffix(".pub")

    for signature in (other.sign(manifest), b"", b"{}", b"null", b'{"dsseEnvelope": {}}'):
        with pytest.raises(Tampered) as refused:
            check_signature(manifest, signature, public)
        assert refused.value.code == "bad-model-signature"
    with pytest.raises(Tampered, match="Nobody signed"):
        require_signed(manifest, (), public)
    require_signed(manifest, (other.sign(manifest), signer.sign(manifest)), public)


def test_what_is_no_key_is_named(manifest: Manifest, signer: ModelSigner, tmp_path: Path) -> None:
    (tmp_path / "odd.pub").write_text("no key")

    for file in (tmp_path / "odd.pub", tmp_path / "missing.pub"):
        with pytest.raises(BadInput, match=file.name):
            check_signature(manifest, signer.sign(manifest), file)


def _certificate(
    subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey, *, ca: bool
) -> bytes:
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in (subject, issuer)]
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(names[0])
        .issuer_name(names[1])
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - datetime.timedelta(days=1))
        .not_valid_after(NOW + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
        .sign(by, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def test_a_certificate_authority_can_vouch_for_the_key(manifest: Manifest, signer: ModelSigner, tmp_path: Path) -> None:
    key = serialization.load_pem_private_key(signer.key.read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    root, stranger = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    paths = {name: tmp_path / f"{name}.crt" for name in ("root", "stranger", "model")}
    paths["root"].write_bytes(_certificate("root", "root", root, root, ca=True))
    paths["stranger"].write_bytes(_certificate("stranger", "stranger", stranger, stranger, ca=True))
    paths["model"].write_bytes(_certificate("model", "root", key, root, ca=False))

    signature = ModelSigner.at(signer.key, paths["model"]).sign(manifest)

    check_certified(manifest, signature, (paths["root"],))
    require_signed(manifest, (signature,), paths["root"], certified=True)
    with pytest.raises(BadInput, match="no readable certificate"):
        check_certified(manifest, signature, (signer.key.with_suffix(".pub"),))
    with pytest.raises(Tampered):
        check_certified(manifest, signature, (paths["stranger"],))


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="skopeo is not installed")
def test_skopeo_copies_an_export_with_its_signature(
    store: SealedStore, manifest: Manifest, signer: ModelSigner, tmp_path: Path
) -> None:
    store.attach(manifest.digest, BUNDLE_TYPE, signer.sign(manifest))
    exported = store.export(manifest.digest, tmp_path / "export", tag="v2")

    subprocess.run(
        ["skopeo", "copy", "--quiet", f"oci:{exported}:v2", f"oci:{tmp_path / 'copy'}:v2"],
        check=True,
        timeout=60,
    )

    copied = SealedStore(tmp_path / "copy", read_only=True)
    assert copied.manifests() == [manifest.digest]
    assert copied.verify(manifest.digest) == ()
    (signature,) = SealedStore(exported, read_only=True).attached(manifest.digest, BUNDLE_TYPE)
    check_signature(manifest, signature, signer.key.with_suffix(".pub"))
