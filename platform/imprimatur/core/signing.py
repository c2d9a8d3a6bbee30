"""Ed25519 signatures in DSSE envelopes, for decisions, release bundles and checkpoints.

Source of the envelope: https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from imprimatur.core.digests import canonical_json, digest_of_bytes, short
from imprimatur.core.errors import Tampered
from imprimatur.core.files import write_durably


@dataclass(frozen=True)
class Envelope:
    """A signed payload: its type, its bytes, and one signature with the id of its key."""

    payload_type: str
    payload: bytes
    key_id: str
    signature: bytes

    def document(self) -> dict[str, Any]:
        """The envelope as DSSE JSON."""
        return {
            "payloadType": self.payload_type,
            "payload": base64.b64encode(self.payload).decode(),
            "signatures": [{"keyid": self.key_id, "sig": base64.b64encode(self.signature).decode()}],
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Envelope:
        """The envelope in ``document``. Raises Tampered ``bad-envelope`` where it has another form."""
        try:
            (entry,) = document["signatures"]
            return cls(
                str(document["payloadType"]),
                base64.b64decode(document["payload"], validate=True),
                str(entry["keyid"]),
                base64.b64decode(entry["sig"], validate=True),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise Tampered(
                "bad-envelope",
                f"This is no DSSE envelope with one signature (expected payload and signature): {error}",
            ) from error


class SigningKey:
    """An Ed25519 private key."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        self.public = public_text(private.public_key())
        self.key_id = key_id_of(self.public)

    @classmethod
    def generate(cls) -> SigningKey:
        """A fresh key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def load_or_create(cls, path: Path) -> SigningKey:
        """The key in the PEM file at ``path``, made there (mode 0600, with ``.pub`` beside it) if none is."""
        if not path.exists():
            cls.generate()._save_first(path)
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(private, Ed25519PrivateKey):
            raise Tampered("wrong-key", f"{path.name} holds {type(private).__name__}, expected an Ed25519 private key")
        return cls(private)

    def save(self, path: Path) -> None:
        """Put the key into the PEM file ``path`` (mode 0600, with ``.pub`` beside it), in place of what was there."""
        write_durably(path, _pem_of(self._private), mode=0o600)
        write_durably(path.with_suffix(".pub"), self.public.encode())

    def _save_first(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return  # another process of this home was first: its key is the key
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(_pem_of(self._private))
        path.with_suffix(".pub").write_text(self.public)

    def sign(self, payload_type: str, document: object) -> Envelope:
        """``document`` as canonical JSON, signed."""
        payload = canonical_json(document)
        signature = self._private.sign(_pre_authentication(payload_type, payload))
        return Envelope(payload_type, payload, self.key_id, signature)

    def sign_text(self, text: str) -> bytes:
        """The signature (64 bytes) of a text that says itself what it is, as a note's does."""
        return self._private.sign(text.encode())


class KeyRing:
    """Public keys that signatures are accepted from, by key id.

    A ``retired`` key bears out what it signed once; about the present it has nothing to say (``open_current``).
    """

    def __init__(self, public_keys: Iterable[str], retired: Iterable[str] = ()) -> None:
        self._retired = {key_id_of(text): public_key(text) for text in retired}
        self._keys = {key_id_of(text): public_key(text) for text in public_keys} | self._retired

    @property
    def key_ids(self) -> frozenset[str]:
        """The ids of all keys of the ring."""
        return frozenset(self._keys)

    @property
    def public_texts(self) -> frozenset[str]:
        """The PEM text of every key of the ring."""
        return frozenset(public_text(key) for key in self._keys.values())

    @property
    def retired_texts(self) -> frozenset[str]:
        """The PEM text of every retired key of the ring."""
        return frozenset(public_text(key) for key in self._retired.values())

    @property
    def public_keys(self) -> tuple[Ed25519PublicKey, ...]:
        """Every key of the ring."""
        return tuple(self._keys.values())

    def open(self, envelope: Envelope, payload_type: str) -> Any:
        """The document in ``envelope``, once its type and signature are verified.

        Raises Tampered ``bad-signature`` where the type is another one, the key is unknown or the signature is wrong.
        """
        key = self._keys.get(envelope.key_id)
        if envelope.payload_type != payload_type or key is None:
            raise Tampered(
                "bad-signature",
                f"Signed as {envelope.payload_type!r} by key {envelope.key_id} "
                f"(expected {payload_type!r} by one of {sorted(self._keys)})",
            )
        try:
            key.verify(envelope.signature, _pre_authentication(payload_type, envelope.payload))
        except InvalidSignature as error:
            raise Tampered(
                "bad-signature", f"The signature of this {payload_type} does not match its content"
            ) from error
        return json.loads(envelope.payload)

    def open_current(self, envelope: Envelope, payload_type: str) -> Any:
        """The document in ``envelope``, which says what is so now. Raises Tampered ``retired-key``, and as ``open``."""
        if envelope.key_id in self._retired:
            current = sorted(self._keys.keys() - self._retired.keys())
            raise Tampered(
                "retired-key",
                f"Signed by key {envelope.key_id}, which was replaced (expected one of {current}); whoever stole it "
                "can sign with it still",
            )
        return self.open(envelope, payload_type)


def public_text(key: Ed25519PublicKey) -> str:
    """The public key as PEM text."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_bytes(serialization.Encoding.PEM, form).decode()


def key_id_of(public: str) -> str:
    """The short digest that a public key is named by."""
    return short(digest_of_bytes(public.encode()))


def public_key(text: str) -> Ed25519PublicKey:
    """The key in a PEM text. Raises Tampered ``wrong-key`` for a key of another kind."""
    key = serialization.load_pem_public_key(text.encode())
    if not isinstance(key, Ed25519PublicKey):
        raise Tampered("wrong-key", f"Expected an Ed25519 public key (got {type(key).__name__})")
    return key


def _pem_of(private: Ed25519PrivateKey) -> bytes:
    return private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _pre_authentication(payload_type: str, payload: bytes) -> bytes:
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
