"""``imprimatur admit``: the question that anything else asks before it runs a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imprimatur.core.clock import iso, utc_now
from imprimatur.core.keychain import ring_at
from imprimatur.core.settings import Settings
from imprimatur.core.terminal import out, print_json
from imprimatur.serving.admission import admit_digest, fetch_bundle, read_bundle, verify_bytes

app = typer.Typer(add_completion=False)


@app.command("admit")
def admit(
    digest: Annotated[str, typer.Argument(metavar="DIGEST", help="Digest of the sealed manifest, sha256:...")],
    environment: Annotated[str, typer.Option("--env", help="Where it is to run.")] = "production",
    layout: Annotated[Path | None, typer.Option(help="OCI image layout whose bytes must be these.")] = None,
    bundle: Annotated[Path | None, typer.Option(help="A saved release bundle; the server's where left out.")] = None,
    key: Annotated[Path | None, typer.Option(help="The server's public key; the home folder's where left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Say whether these bytes may run: exit status 0 where they may, 1 where not, 3 where nobody can say."""
    settings = Settings()
    ring = ring_at(key or settings.decision_public)
    address = settings.server or f"http://{settings.host}:{settings.port}"
    opened = read_bundle(bundle, ring) if bundle else fetch_bundle(address, ring)
    admission = admit_digest(opened, digest, environment, utc_now())
    if layout is not None:
        verify_bytes(layout, digest)
    if as_json:
        print_json(admission.document())
        return
    release = admission.release
    out.print(
        f"{release.model}/{release.version} may run in {environment} until {iso(admission.expires_at)} "
        f"(decision {release.decision_id})",
        highlight=False,
    )
