"""Whether given bytes may run in an environment, from the signed release bundle and the server's public key alone.

For whatever else serves models: an init container or an admission hook asks before it starts, and needs neither our
database nor a login.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from imprimatur.core.clock import iso
from imprimatur.core.digests import Digest, is_digest
from imprimatur.core.errors import BadInput, Forbidden, Tampered
from imprimatur.core.signing import KeyRing
from imprimatur.serving.answers import ask, keys_in
from imprimatur.serving.bundle import open_bundle
from imprimatur.serving.model import Bundle, Released
from imprimatur.storage.service import SealedStore

_PATIENCE = httpx.Timeout(10.0)


@dataclass(frozen=True)
class Admission:
    """A released digest, and until when the bundle says so."""

    release: Released
    expires_at: datetime

    def document(self) -> dict[str, Any]:
        """The admission as JSON."""
        return {
            "admitted": True,
            "digest": self.release.manifest_digest,
            "environment": self.release.environment,
            "model": self.release.model,
            "version": self.release.version,
            "decision_id": self.release.decision_id,
            "expires_at": iso(self.expires_at),
        }


def admit_digest(bundle: Bundle, digest: Digest, environment: str, now: datetime) -> Admission:
    """The admission of ``digest`` in ``environment``.

    Raises Unavailable ``bundle-expired``; BadInput ``bad-digest``; Forbidden ``not-released``; and where the bundle
    names the digest but does not bear it out, the reason, as ``revoked`` or ``approval-missing``.
    """
    if not is_digest(digest):
        raise BadInput("bad-digest", f"{digest!r} is no digest (expected sha256: and 64 hexadecimal digits)")
    bundle.require_fresh(now)
    if digest in bundle.revoked:
        raise Forbidden("revoked", f"{digest} was revoked: nothing may run these bytes any more")
    for release in bundle.released:
        if (release.manifest_digest, release.environment) == (digest, environment):
            return Admission(release, bundle.expires_at)
    for withheld in bundle.withheld:
        if (withheld.manifest_digest, withheld.environment) == (digest, environment):
            raise withheld.error
    elsewhere = sorted(r.environment for r in bundle.released if r.manifest_digest == digest)
    raise Forbidden(
        "not-released",
        f"{digest} is not released to {environment} (found: {', '.join(elsewhere) or 'nowhere'}), so it may not run; "
        "it may once its evaluation met the policy, the right people approved and it was promoted",
    )


def verify_bytes(layout: Path, digest: Digest) -> None:
    """Raise Tampered unless the OCI image layout holds exactly these bytes and leads to no others.

    ``file-changed`` names the files; ``other-manifests`` says that the index leads elsewhere too, perhaps by the tag
    that is pulled; ``bad-index`` that nobody can tell.
    """
    store = SealedStore(layout, read_only=True)
    others = store.others(digest)
    if others:
        raise Tampered(
            "other-manifests",
            f"{layout.name!r} leads to other manifests too: {', '.join(others[:5])} (expected {digest} alone, with "
            "what is attached to it); export it anew with `imprimatur model export`",
        )
    differing = store.verify(digest)
    if differing:
        raise Tampered(
            "file-changed",
            f"{len(differing)} files in {layout.name!r} are not what was sealed: {', '.join(differing[:5])}",
            files=list(differing),
        )


def fetch_bundle(address: str, key: KeyRing) -> Bundle:
    """The server's release bundle, verified by ``key`` or one that succeeded it. Raises Unavailable, Tampered."""
    with httpx.Client(timeout=_PATIENCE) as http:
        keys, bundle = (ask(http, address, what) for what in ("keys", "bundle"))
    return open_bundle(bundle, keys_in(keys, key))


def read_bundle(file: Path, key: KeyRing) -> Bundle:
    """The release bundle that was saved in ``file``, verified. Raises BadInput ``no-bundle-file``, Tampered."""
    try:
        document = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BadInput(
            "no-bundle-file", f"{file.name} is no readable release bundle ({type(error).__name__})"
        ) from error
    return open_bundle(document, key)
