"""OpenSSF model signatures over a sealed manifest's digests: anybody can check them with the `model_signing` tool.

Source: https://github.com/sigstore/model-transparency. Its own signing reads and hashes every file again; sealing has
done that, so the statement is built from the manifest with the library's inner classes, and its public verifier accepts
it. A signature says who sealed these bytes; the manifest stays the authority on which bytes they are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from imprimatur.core.errors import BadInput, Tampered
from imprimatur.core.files import write_durably
from imprimatur.storage.model import Manifest

BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_SHA256 = "sha256"
_SERIALIZATION = {"method": "files", "hash_type": _SHA256, "allow_symlinks": False}


@dataclass(frozen=True)
class ModelSigner:
    """Signs with a P-256 key; with a certificate and its chain where a certificate authority vouches for the key."""

    key: Path
    certificate: Path | None = None
    chain: tuple[Path, ...] = ()

    @classmethod
    def at(cls, key: Path, certificate: Path | None = None, chain: tuple[Path, ...] = ()) -> ModelSigner:
        """The signer with the PEM key at ``key``, made there (mode 0600, with ``.pub`` beside it) if none is."""
        if not key.exists():
            _make_key(key)
        return cls(key, certificate, chain)

    def sign(self, manifest: Manifest) -> bytes:
        """The signature of the manifest's files, as a Sigstore bundle's JSON."""
        signed = self._signer().sign(_payload(manifest))
        return str(signed.bundle.to_json()).encode()

    def _signer(self) -> Any:
        if self.certificate is not None:
            from model_signing._signing.sign_certificate import Signer as CertificateSigner

            return CertificateSigner(self.key, self.certificate, self.chain or (self.certificate,))
        from model_signing._signing.sign_ec_key import Signer as KeySigner

        return KeySigner(self.key)


def check_signature(manifest: Manifest, signature: bytes, public_key: Path) -> None:
    """Raise Tampered ``bad-model-signature`` unless ``signature`` by the key covers exactly the manifest's files.

    Raises BadInput ``no-key`` where the file holds no P-256 key.
    """
    from model_signing._signing.sign_ec_key import Verifier

    try:
        verifier = Verifier(public_key)
    except (OSError, ValueError, AttributeError) as error:
        raise BadInput("no-key", f"{public_key.name} is no readable P-256 public key (expected PEM)") from error
    _check(manifest, signature, verifier)


def require_signed(manifest: Manifest, signatures: Iterable[bytes], signer: Path, *, certified: bool = False) -> None:
    """Raise Tampered ``unsigned`` or ``bad-model-signature`` unless one of ``signatures`` is by the signer.

    ``signer`` is a file with a public key, or where it is to be ``certified``, with the certificates to trust.
    """
    refused = Tampered("unsigned", f"Nobody signed {manifest.digest} (expected an OpenSSF model signature)")
    for signature in signatures:
        try:
            if certified:
                check_certified(manifest, signature, (signer,))
            else:
                check_signature(manifest, signature, signer)
        except Tampered as error:
            refused = error
        else:
            return
    raise refused


def check_certified(manifest: Manifest, signature: bytes, roots: tuple[Path, ...]) -> None:
    """The same for a signature by a certificate that one of ``roots`` leads to; ``no-key`` where they hold none."""
    from model_signing._signing.sign_certificate import Verifier

    try:
        verifier = Verifier(roots)
    except (OSError, ValueError) as error:
        names = ", ".join(root.name for root in roots)
        raise BadInput("no-key", f"{names} holds no readable certificate (expected PEM)") from error
    _check(manifest, signature, verifier)


def _check(manifest: Manifest, signature: bytes, verifier: Any) -> None:
    from model_signing._signing.sign_sigstore_pb import Signature
    from OpenSSL.crypto import X509StoreContextError

    odd = (InvalidSignature, X509StoreContextError, ValueError, KeyError, TypeError, AttributeError, IndexError)
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "model.sig"
        file.write_bytes(signature)
        try:
            found = verifier.verify(Signature.read(file))
        except odd as error:
            raise _bad(manifest, f"{type(error).__name__}: {error}") from error
    if found != _manifest(manifest):
        raise _bad(manifest, "other files, or other bytes")


def _bad(manifest: Manifest, found: str) -> Tampered:
    return Tampered(
        "bad-model-signature",
        f"The model signature does not hold for {manifest.digest} (found {found[:200]}; expected one by the given key "
        "over exactly these files)",
    )


def _payload(manifest: Manifest) -> Any:
    from model_signing._signing.signing import Payload

    return Payload(_manifest(manifest))


def _manifest(manifest: Manifest) -> Any:
    from model_signing._hashing.hashing import Digest
    from model_signing.manifest import FileManifestItem, SerializationType
    from model_signing.manifest import Manifest as SignedManifest

    items = [
        FileManifestItem(
            path=PurePosixPath(file.path), digest=Digest(_SHA256, bytes.fromhex(file.digest.removeprefix("sha256:")))
        )
        for file in manifest.files
    ]
    return SignedManifest(manifest.digest, items, SerializationType.from_args(_SERIALIZATION))


def _make_key(path: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_durably(path, pem, mode=0o600)
    write_durably(path.with_suffix(".pub"), public)
