"""Asking for images: who asks, which release is meant, what is drawn, and what is written down about it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imprimatur.core.clock import Clock
from imprimatur.core.digests import digest_of_bytes, new_id
from imprimatur.core.errors import BadInput, Forbidden, Unauthenticated
from imprimatur.core.settings import Settings
from imprimatur.core.signing import SigningKey
from imprimatur.serving.batching import Made
from imprimatur.serving.dialect import ImageRequest
from imprimatur.serving.feed import Feed
from imprimatur.serving.guardrails import Guardrails
from imprimatur.serving.imaging import Origin, SignedImage, encode, sign_image
from imprimatur.serving.metrics import Metrics
from imprimatur.serving.model import Client, Released, Sampling
from imprimatur.serving.painting import Drawn, Order, Painter, Size
from imprimatur.serving.shelf import Shelf
from imprimatur.serving.spool import Served, Spool

_SEED_BITS = 32


@dataclass(frozen=True)
class Delivered:
    """One image as it is handed over."""

    id: str
    seed: int
    signed: SignedImage


@dataclass(frozen=True)
class Delivery:
    """The images of one request, and what drew them."""

    release: Released
    sampling: Sampling
    size: Size
    form: str
    prompt_cut: bool
    images: tuple[Delivered, ...]


class Gateway:
    """Serves what the release bundle in force says may be served, and nothing else."""

    def __init__(
        self,
        feed: Feed,
        shelf: Shelf,
        spool: Spool,
        key: SigningKey,
        metrics: Metrics,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self.feed = feed
        self.shelf = shelf
        self.metrics = metrics
        self._spool = spool
        self._key = key
        self._settings = settings
        self._clock = clock
        self._guardrails = Guardrails(longest=settings.prompt_characters, blocked=settings.blocked_terms)

    @property
    def image_key(self) -> str:
        """The public key, as PEM text, that images' signatures are verified with."""
        return self._key.public

    def client(self, authorization: str | None) -> Client:
        """Who asks. Raises Unauthenticated ``no-api-key`` or ``bad-api-key``, Unavailable without a bundle in force."""
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthenticated(
                "no-api-key", "There is no API key in this request (expected 'Authorization: Bearer imp_...')"
            )
        return self.feed.current().client(digest_of_bytes(token.strip().encode()))

    def released(self) -> tuple[Released, ...]:
        """What may be asked for."""
        return self.feed.current().released

    def release(self, name: str) -> Released:
        """The release that ``name`` means."""
        return self.feed.current().find(name)

    def label(self, name: str) -> str:
        """The model's name for a counter: that of a released model, or ``unknown``."""
        held = self.feed.held
        stem = name.partition("@")[0].partition("/")[0]
        return stem if held and any(release.model == stem for release in held.released) else "unknown"

    async def generate(self, client: Client, request: ImageRequest) -> Delivery:
        """The images that ``client`` asks for, signed and recorded."""
        release = self.release(request.model)
        self._check(request.prompt)
        model = await self.shelf.model(release)
        _require_size(request, model.painter, release)
        sampling = self._sampling(request, release)
        first = secrets.randbits(_SEED_BITS) if request.seed is None else request.seed
        orders = [Order(request.prompt, first + i) for i in range(request.n or 1)]
        made = await model.queue.submit(sampling, orders)
        self._require_still_released(release)
        images = [
            await asyncio.to_thread(self._deliver, client, request, release, model.painter.device, order, one)
            for order, one in zip(orders, made, strict=True)
        ]
        cut = any(one.result.prompt_cut for one in made)
        return Delivery(release, sampling, model.painter.size, request.output_format or "png", cut, tuple(images))

    def _check(self, prompt: str) -> None:
        try:
            self._guardrails.check(prompt)
        except BadInput as error:
            self.metrics.blocked(error.code)
            raise

    def _sampling(self, request: ImageRequest, release: Released) -> Sampling:
        """What the request names, else what the release was evaluated with, else the settings."""
        steps = request.steps or release.steps or self._settings.serve_steps
        guidance = next(
            value for value in (request.guidance, release.guidance, self._settings.serve_guidance) if value is not None
        )
        return Sampling(steps, guidance)

    def _require_still_released(self, release: Released) -> None:
        """Raise Forbidden ``not-released`` where the version was taken back while its images were drawn."""
        if release.manifest_digest not in self.feed.current().digests():
            raise Forbidden(
                "not-released",
                f"{release.model}/{release.version} was taken back while your images were drawn; they were thrown away",
                param="model",
            )

    def _deliver(
        self,
        client: Client,
        request: ImageRequest,
        release: Released,
        device: str,
        order: Order,
        made: Made[Drawn],
    ) -> Delivered:
        origin = _origin(release, order.seed)
        form = request.output_format or "png"
        data = encode(made.result.picture, origin, form, request.output_compression)
        image_id = new_id("img")
        kept = None
        if self._spool.wants_image():
            png = data if form == "png" else encode(made.result.picture, origin, "png", None)
            kept = self._spool.keep_image(image_id, png)
        self._spool.append(
            Served(
                id=image_id,
                at=self._clock(),
                model=release.model,
                version=release.version,
                manifest_digest=release.manifest_digest,
                environment=release.environment,
                prompt=request.prompt,
                seed=order.seed,
                seconds=made.seconds,
                device=device,
                images=1,
                client=client.name,
                team=client.team,
                image=kept,
            )
        )
        self.metrics.drew(release.model, release.version, made.seconds, made.mates)
        return Delivered(image_id, order.seed, sign_image(data, origin, self._key))


def origin_document(release: Released, sampling: Sampling) -> Mapping[str, Any]:
    """What drew the images of one answer, as JSON."""
    return {
        "model": release.model,
        "version": release.version,
        "environment": release.environment,
        "manifest_digest": release.manifest_digest,
        "decision_id": release.decision_id,
        "steps": sampling.steps,
        "guidance": sampling.guidance,
    }


def _origin(release: Released, seed: int) -> Origin:
    return Origin(
        release.model, release.version, release.environment, release.manifest_digest, release.decision_id, seed
    )


def _require_size(request: ImageRequest, painter: Painter, release: Released) -> None:
    if request.size not in (None, "auto", str(painter.size)):
        raise BadInput(
            "size-not-offered",
            f"{release.name} draws {painter.size} (asked for {request.size}); leave size out or ask for 'auto'",
            param="size",
        )
