"""A signature holds for these bytes, this type and this key, and for nothing else."""

from __future__ import annotations

import dataclasses
import json
import stat
from pathlib import Path

import pytest

from imprimatur.core.errors import Tampered
from imprimatur.core.signing import Envelope, KeyRing, SigningKey

_TYPE = "application/vnd.imprimatur.test+json"


def test_a_signed_document_opens_with_the_public_key() -> None:
    key = SigningKey.generate()
    sent = json.loads(json.dumps(key.sign(_TYPE, {"a": 1}).document()))
    assert KeyRing([key.public]).open(Envelope.parse(sent), _TYPE) == {"a": 1}


def test_another_payload_type_key_or_byte_is_refused() -> None:
    key = SigningKey.generate()
    envelope = key.sign(_TYPE, {"a": 1})
    ring = KeyRing([key.public])
    breaches = [
        (ring, dataclasses.replace(envelope, payload=b'{"a":2}'), _TYPE),
        (ring, dataclasses.replace(envelope, signature=bytes(64)), _TYPE),
        (ring, envelope, "application/other"),
        (KeyRing([SigningKey.generate().public]), envelope, _TYPE),
    ]
    for keys, signed, kind in breaches:
        with pytest.raises(Tampered) as refused:
            keys.open(signed, kind)
        assert refused.value.code == "bad-signature"


@pytest.mark.parametrize("document", [{}, {"payloadType": "x", "payload": "*", "signatures": []}, {"signatures": 3}])
def test_what_is_no_envelope_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(Tampered) as refused:
        Envelope.parse(document)
    assert refused.value.code == "bad-envelope"


def test_a_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "decision.pem"
    first = SigningKey.load_or_create(path)
    second = SigningKey.load_or_create(path)
    assert first.public == second.public == path.with_suffix(".pub").read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
