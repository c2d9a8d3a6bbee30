"""What a gateway counts, in Prometheus' form."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_MATES = (1, 2, 4, 8, 16, 32)


class Metrics:
    """Counters of one gateway. Model labels are names of released models only, so that nobody can invent series."""

    def __init__(self, loaded: Callable[[], float], bundle_age: Callable[[], float]) -> None:
        self._registry = own = CollectorRegistry()
        self._requests = Counter(
            "imprimatur_gateway_requests", "Image requests by model and status.", ["model", "status"], registry=own
        )
        self._seconds = Histogram(
            "imprimatur_gateway_request_seconds", "Time of an image request.", ["model"], buckets=_SECONDS, registry=own
        )
        self._images = Counter("imprimatur_gateway_images", "Images drawn.", ["model", "version"], registry=own)
        self._drawing = Counter(
            "imprimatur_gateway_device_seconds", "Seconds of the device spent on images.", ["model"], registry=own
        )
        self._mates = Histogram(
            "imprimatur_gateway_batch_images", "Images in the batch of an image.", buckets=_MATES, registry=own
        )
        self._blocked = Counter("imprimatur_gateway_blocked", "Prompts refused, by reason.", ["reason"], registry=own)
        gauges = {
            "imprimatur_gateway_loaded_models": ("Models in memory.", loaded),
            "imprimatur_gateway_bundle_age_seconds": ("Age of the release bundle in force.", bundle_age),
        }
        for name, (about, value) in gauges.items():
            Gauge(name, about, registry=own).set_function(value)

    def answered(self, model: str, status: int, seconds: float) -> None:
        """Count one request."""
        self._requests.labels(model, str(status)).inc()
        self._seconds.labels(model).observe(seconds)

    def drew(self, model: str, version: int, seconds: float, mates: int) -> None:
        """Count one image."""
        self._images.labels(model, str(version)).inc()
        self._drawing.labels(model).inc(seconds)
        self._mates.observe(mates)

    def blocked(self, reason: str) -> None:
        """Count one prompt that a guardrail refused."""
        self._blocked.labels(reason).inc()

    def text(self) -> bytes:
        """Everything in Prometheus' text form."""
        return generate_latest(self._registry)
