"""What a gateway knows of the world: released versions, clients, revocations, and which of them a request means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from imprimatur.core.digests import Digest
from imprimatur.core.errors import BadInput, Forbidden, ImprimaturError, NotFound, Unauthenticated, Unavailable

PRODUCTION = "production"
"""The environment that a model's bare name means."""


@dataclass(frozen=True)
class Sampling:
    """How an image is drawn: only images that share this can be made in one batch."""

    steps: int
    guidance: float


@dataclass(frozen=True)
class Client:
    """An application that may ask for images, and the team that pays."""

    name: str
    team: str


@dataclass(frozen=True)
class Released:
    """A version whose decision, approvals and digest were verified; it may be loaded.

    ``base_digest`` is the manifest that an adapter is loaded on.
    """

    model: str
    version: int
    environment: str
    manifest_digest: Digest
    base_digest: Digest | None
    decision_id: str
    decided_at: datetime
    steps: int | None
    guidance: float | None

    @property
    def name(self) -> str:
        """The name that clients ask for: ``digits`` in production, ``digits@staging`` elsewhere."""
        return self.model if self.environment == PRODUCTION else f"{self.model}@{self.environment}"


@dataclass(frozen=True)
class Withheld:
    """A release that the bundle names and that may not be served, and why."""

    model: str
    version: int
    environment: str
    manifest_digest: Digest
    error: ImprimaturError


@dataclass(frozen=True)
class Wanted:
    """The version that a request names: ``MODEL``, ``MODEL/VERSION``, each with ``@ENVIRONMENT`` or without."""

    model: str
    version: int | None
    environment: str | None

    @classmethod
    def parse(cls, name: str) -> Wanted:
        """The version that ``name`` means. Raises BadInput ``bad-model-name`` where it has another form.

        >>> Wanted.parse("digits/2")
        Wanted(model='digits', version=2, environment=None)
        >>> Wanted.parse("digits@staging").environment
        'staging'
        """
        stem, at, environment = name.partition("@")
        model, slash, version = stem.partition("/")
        number = int(version) if version.isascii() and version.isdecimal() else 0
        if not model or (slash and number < 1) or (at and not environment):
            raise BadInput(
                "bad-model-name",
                f"{name!r} names no model (expected 'digits', 'digits/2' or 'digits@staging')",
                param="model",
            )
        return cls(model, number if slash else None, environment if at else None)

    def matches(self, release: Released | Withheld) -> bool:
        """Whether ``release`` is what was named. Without version and environment, production is."""
        if release.model != self.model:
            return False
        if self.version is not None and release.version != self.version:
            return False
        if self.environment is not None:
            return release.environment == self.environment
        return self.version is not None or release.environment == PRODUCTION


@dataclass(frozen=True)
class Bundle:
    """A verified release bundle: what may be served, to whom, until when."""

    serial: int
    issued_at: datetime
    expires_at: datetime
    released: tuple[Released, ...]
    withheld: tuple[Withheld, ...]
    revoked: frozenset[Digest]
    clients: Mapping[Digest, Client]

    def require_fresh(self, now: datetime) -> None:
        """Raise Unavailable ``bundle-expired`` once the bundle's time is over."""
        if now >= self.expires_at:
            raise Unavailable(
                "bundle-expired",
                f"The last release bundle held until {self.expires_at:%Y-%m-%d %H:%M:%S} UTC and the server has sent "
                "no newer one; nothing is served until it answers again",
            )

    def client(self, token_hash: Digest) -> Client:
        """Whose key has this hash. Raises Unauthenticated ``bad-api-key``."""
        found = self.clients.get(token_hash)
        if found is None:
            raise Unauthenticated(
                "bad-api-key",
                "This API key is not known here (expected 'Authorization: Bearer imp_...' with a key that an admin "
                "issued to an application)",
            )
        return found

    def find(self, name: str) -> Released:
        """The release that ``name`` means, production first.

        Raises NotFound ``no-such-model``, Forbidden ``not-released``, or the reason for which a release is withheld.
        """
        wanted = Wanted.parse(name)
        fitting = [release for release in self.released if wanted.matches(release)]
        if fitting:
            return min(fitting, key=lambda release: (release.environment != PRODUCTION, release.environment))
        for withheld in self.withheld:
            if wanted.matches(withheld):
                raise withheld.error
        raise self._refusal(name, wanted.model)

    def digests(self) -> frozenset[Digest]:
        """Manifests that may be held in memory."""
        return frozenset(release.manifest_digest for release in self.released)

    def _refusal(self, name: str, model: str) -> ImprimaturError:
        standing = [release for release in self.released if release.model == model]
        if not standing and not any(withheld.model == model for withheld in self.withheld):
            return NotFound(
                "no-such-model",
                f"There is no released model {model!r} (released: "
                f"{', '.join(sorted({r.model for r in self.released})) or 'none'})",
                param="model",
            )
        places = ", ".join(f"{r.model}/{r.version} in {r.environment}" for r in standing) or "none of its versions"
        return Forbidden(
            "not-released",
            f"{name} is not released, so it is not served (released: {places}); a version is served once its "
            "evaluation met the policy, the right people approved and it was promoted",
            param="model",
        )
