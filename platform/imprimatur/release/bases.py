"""Which sealed base each sealed adapter is served on."""

from __future__ import annotations

from functools import lru_cache

from sqlalchemy.orm import Session

from imprimatur.core.digests import Digest
from imprimatur.core.errors import Refused
from imprimatur.registry.adapter import named_base, sealed_base
from imprimatur.release import store
from imprimatur.release.model import Release
from imprimatur.storage.service import SealedStore

_REMEMBERED = 10_000


class Bases:
    """Bases of adapters by the adapter's manifest; a manifest that is no adapter has none."""

    def __init__(self, sealed: SealedStore) -> None:
        self._sealed = sealed
        self._named = lru_cache(maxsize=_REMEMBERED)(_named_base_of)

    def required(self, digest: Digest) -> Digest | None:
        """The base whose bytes are served with the adapter's, for decisions: nothing is taken on trust.

        Raises Refused ``unsealed-base``, NotFound ``no-such-blob`` and Tampered where it can't be told or is gone.
        """
        base = sealed_base(self._sealed, self._sealed.manifest(digest))
        return base.digest if base else None

    def named(self, digest: Digest) -> Digest | None:
        """The base that the bytes name, for people who look: what was read before is not read again."""
        try:
            return self._named(self._sealed, digest)
        except Refused:
            return None

    def behind(self, session: Session, release: Release) -> Digest | None:
        """The base that a release is served on, sealed here still or not: the one that its bytes name.

        Where they can't be read, it is what was recorded when they were sealed, so that damage stops no revocation.
        """
        try:
            return self._named(self._sealed, release.manifest_digest)
        except Refused:
            return store.recorded_base(session, release.version_id)


def _named_base_of(sealed: SealedStore, digest: Digest) -> Digest | None:
    return named_base(sealed, sealed.manifest(digest))
