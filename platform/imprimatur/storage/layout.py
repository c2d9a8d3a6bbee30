"""The documents of an OCI image layout, as bytes and back.

Source: https://github.com/opencontainers/image-spec (image-layout.md, manifest.md, image-index.md), version 1.1.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from imprimatur.core.digests import Digest, canonical_json, digest_of_bytes, is_digest
from imprimatur.core.errors import Tampered
from imprimatur.storage.model import Manifest, SealedFile, check_paths

LAYOUT = canonical_json({"imageLayoutVersion": "1.0.0"})
EMPTY_CONFIG = b"{}"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
SUBJECT = "imprimatur.subject"
REF_NAME = "org.opencontainers.image.ref.name"
_EMPTY_TYPE = "application/vnd.oci.empty.v1+json"
_TITLE = "org.opencontainers.image.title"
_MEDIA_TYPES = {
    ".json": "application/json",
    ".md": "text/markdown",
    ".safetensors": "application/vnd.imprimatur.safetensors",
    ".txt": "text/plain",
    ".yaml": "application/yaml",
}
_ANY_TYPE = "application/octet-stream"


def manifest_bytes(artifact_type: str, files: Iterable[SealedFile]) -> bytes:
    """The OCI manifest of ``files`` as canonical JSON: the same folder always gives the same bytes."""
    return canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": artifact_type,
            "config": _descriptor(_EMPTY_TYPE, digest_of_bytes(EMPTY_CONFIG), len(EMPTY_CONFIG)),
            "layers": [
                {
                    **_descriptor(_media_type(file.path), file.digest, file.size),
                    "annotations": {_TITLE: file.path},
                }
                for file in sorted(files, key=lambda file: file.path)
            ],
        }
    )


def parse_manifest(digest: Digest, data: bytes) -> Manifest:
    """The manifest in ``data``. Raises Tampered ``bad-manifest`` where it has another form than ours."""
    try:
        document = json.loads(data)
        files = tuple(_file(layer) for layer in document["layers"])
        artifact_type = document["artifactType"]
        well_formed = document["mediaType"] == MANIFEST_TYPE and isinstance(artifact_type, str)
    except (KeyError, TypeError, ValueError) as error:
        raise _bad_manifest(digest, str(error)) from error
    if not well_formed:
        raise _bad_manifest(digest, f"mediaType {document['mediaType']!r}")
    check_paths(file.path for file in files)
    return Manifest(digest, artifact_type, files)


def attachment_bytes(subject: Mapping[str, Any], artifact_type: str, blob: Digest, size: int) -> bytes:
    """The OCI manifest of one blob that says something of the manifest with the descriptor ``subject``."""
    return canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": artifact_type,
            "config": _descriptor(_EMPTY_TYPE, digest_of_bytes(EMPTY_CONFIG), len(EMPTY_CONFIG)),
            "layers": [_descriptor(artifact_type, blob, size)],
            "subject": _descriptor(subject["mediaType"], subject["digest"], subject["size"]),
        }
    )


def attachment_blob(digest: Digest, data: bytes) -> Digest:
    """The blob that an attachment's manifest holds. Raises Tampered ``bad-manifest``."""
    try:
        (layer,) = json.loads(data)["layers"]
        return str(layer["digest"])
    except (KeyError, TypeError, ValueError) as error:
        raise _bad_manifest(digest, str(error)) from error


def index_bytes(descriptors: Iterable[Any]) -> bytes:
    """The layout's ``index.json`` over manifest descriptors."""
    return canonical_json({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": list(descriptors)})


def manifest_descriptor(digest: Digest, size: int, artifact_type: str, **annotations: str) -> dict[str, Any]:
    """What the index says of one manifest."""
    plain = {**_descriptor(MANIFEST_TYPE, digest, size), "artifactType": artifact_type}
    return {**plain, "annotations": annotations} if annotations else plain


def subject_of(entry: Mapping[str, Any]) -> Digest | None:
    """The manifest that an entry of the index is attached to; None where it stands for itself."""
    subject: Digest | None = entry.get("annotations", {}).get(SUBJECT)
    return subject


def _descriptor(media_type: str, digest: Digest, size: int) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest, "size": size}


def _media_type(path: str) -> str:
    return next((kind for suffix, kind in _MEDIA_TYPES.items() if path.endswith(suffix)), _ANY_TYPE)


def _file(layer: Any) -> SealedFile:
    digest, size, path = layer["digest"], layer["size"], layer["annotations"][_TITLE]
    if not (isinstance(path, str) and isinstance(size, int) and is_digest(digest)):
        raise ValueError(f"a layer that is no file: {layer!r}")
    return SealedFile(path, size, digest)


def _bad_manifest(digest: Digest, found: str) -> Tampered:
    return Tampered("bad-manifest", f"{digest} is no manifest of a sealed folder (found {found})")
