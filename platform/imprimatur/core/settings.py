"""The one place that reads the environment."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Every setting, each an environment variable with the prefix ``IMPRIMATUR_``.

    ``home`` holds the database, MLflow's artifacts, the sealed store, features, weights, checkpoints and keys.
    """

    model_config = SettingsConfigDict(env_prefix="IMPRIMATUR_", frozen=True, extra="ignore")

    home: Path = Field(default=Path("imprimatur-home"), description="Folder of everything that is kept.")
    database_url: str = Field(default="", description="SQLAlchemy URL; empty means SQLite in the home folder.")
    host: str = Field(default="127.0.0.1", description="Address that the server and the gateway listen on.")
    port: int = Field(default=8400, ge=0, le=65535, description="Port of the server.")
    gateway_port: int = Field(default=8401, ge=0, le=65535, description="Port of the gateway.")
    server: str = Field(default="", description="Address of the server, for commands and gateways.")
    token: str = Field(default="", description="Access token that commands present to the server.")
    environments: tuple[str, ...] = Field(
        default=("staging", "production"), description="Protected aliases: where a release can stand."
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=("127.0.0.1", "localhost", "::1"), description="Host names that the server answers to."
    )
    session_hours: int = Field(default=12, ge=1, description="Hours after which a browser must log in again.")
    bundle_seconds: float = Field(default=5.0, gt=0, description="Seconds between two pulls of the release bundle.")
    bundle_expiry_minutes: int = Field(
        default=60, ge=1, description="Minutes for which a gateway goes on with its last bundle."
    )
    checkpoint_seconds: float = Field(default=60.0, gt=0, description="Seconds between two audit checkpoints.")
    sealed_objects: str = Field(
        default="", description="Object storage for sealed bytes, as s3://bucket/sealed; empty means the home folder."
    )
    audit_origin: str = Field(
        default="imprimatur.local/audit",
        pattern=r"^[^\s+]+$",
        description="Name of this audit log in its checkpoints: an address of yours, unlike any other log's.",
    )
    model_key: Path | None = Field(
        default=None,
        description="File of the P-256 key that signs sealed models; empty means model.pem among the keys.",
    )
    model_certificate: Path | None = Field(default=None, description="Certificate of that key, where there is one.")
    model_chain: tuple[Path, ...] = Field(default=(), description="Certificates between that one and its root.")
    seal_seconds: float = Field(
        default=5.0, gt=0, description="Seconds between two looks for versions that nobody has sealed yet."
    )
    decision_key: Path | None = Field(
        default=None, description="File of the server's public key; empty means decision.pub among the keys."
    )
    serve_steps: int = Field(default=20, ge=1, le=200, description="Denoising steps where a release names none.")
    serve_guidance: float = Field(default=2.0, ge=0, le=50, description="Guidance scale where a release names none.")
    serve_wait_milliseconds: float = Field(
        default=5.0, ge=0, description="How long an image waits for others that can be made in the same batch."
    )
    serve_batch: int = Field(default=8, ge=1, description="Images that are made in one batch at most.")
    serve_queue: int = Field(default=64, ge=1, description="Images that may wait for one model; more are refused.")
    prompt_characters: int = Field(default=1000, ge=1, le=32_000, description="Length of the longest accepted prompt.")
    blocked_terms: tuple[str, ...] = Field(default=(), description="Words and phrases that no prompt may contain.")
    spool_share: float = Field(default=1.0, ge=0, le=1, description="Share of served images kept for re-scoring.")
    spool_per_minute: int = Field(default=120, ge=0, description="Served images kept for re-scoring a minute at most.")
    monitor_minimum: int = Field(default=30, ge=1, description="Re-scored images without which no score is judged.")
    monitor_hours: float = Field(default=24.0, gt=0, description="Hours of served images that a score looks back on.")
    device: str = Field(default="auto", description="Torch device: auto, cpu, cuda or cuda:N.")
    currency: str = Field(default="EUR", description="Currency of every amount.")
    cpu_hour: float = Field(default=0.20, ge=0, description="Price of an hour of the machine without a GPU.")
    gpu_hour: float = Field(default=2.50, ge=0, description="Price of an hour of a GPU.")

    @property
    def database(self) -> str:
        """SQLAlchemy URL of the one database that MLflow's tables and ours share."""
        return self.database_url or f"sqlite:///{(self.home / 'imprimatur.db').resolve()}"

    @property
    def jobs_database(self) -> str:
        """SQLAlchemy URL of the job queue."""
        return self.database_url or f"sqlite:///{(self.home / 'jobs.db').resolve()}"

    @property
    def artifacts(self) -> Path:
        """MLflow's artifacts, written through its proxy; never trusted."""
        return self.home / "artifacts"

    @property
    def sealed(self) -> Path:
        """The sealed store: an OCI image layout that MLflow can't write."""
        return self.home / "sealed"

    @property
    def weights(self) -> Path:
        """Weights of the scoring backbones, with their catalogue."""
        return self.home / "weights"

    @property
    def features(self) -> Path:
        """Cached features of images."""
        return self.home / "features"

    @property
    def served(self) -> Path:
        """Spool of what gateways served, read by the monitor."""
        return self.home / "served"

    @property
    def bundle_serials(self) -> Path:
        """The highest serial of a release bundle that a gateway took from each server."""
        return self.home / "bundle-serials.json"

    @property
    def checkpoints(self) -> Path:
        """Signed checkpoints of the audit log, outside the database."""
        return self.home / "checkpoints"

    @property
    def keys(self) -> Path:
        """Signing keys, readable by their owner only."""
        return self.home / "keys"

    @property
    def decision_private(self) -> Path:
        """The server's private key, which signs decisions, bundles and checkpoints."""
        return self.keys / "decision.pem"

    @property
    def model_private(self) -> Path:
        """The P-256 key that signs sealed models."""
        return self.model_key or self.keys / "model.pem"

    @property
    def decision_public(self) -> Path:
        """The server's public key, which gateways verify bundles and decisions with."""
        return self.decision_key or self.keys / "decision.pub"

    @property
    def session_length(self) -> timedelta:
        """How long a browser stays logged in."""
        return timedelta(hours=self.session_hours)
