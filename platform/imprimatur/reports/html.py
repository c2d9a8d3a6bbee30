"""The report of a version as one HTML file: no script, no other file, images within it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

from imprimatur.core.digests import Digest
from imprimatur.costs.model import Kind
from imprimatur.reports.changes import changes_since
from imprimatur.reports.document import digests_of, requirements_of
from imprimatur.reports.limitations import limitations
from imprimatur.reports.markdown import verdict_of
from imprimatur.reports.model import Dossier
from imprimatur.reports.plots import balance, look_alikes
from imprimatur.reports.requirements import bounds_of
from imprimatur.reports.typesetting import environment

ReadBlob = Callable[[Digest], bytes]

_STYLE = Path(__file__).parent / "templates" / "report.css"
_PAIRS = 12
_PNG = b"\x89PNG\r\n\x1a\n"


def html_of(dossier: Dossier, read_blob: ReadBlob) -> str:
    """The dossier as one self-contained HTML document."""
    evidence = dossier.evaluation.evidence if dossier.evaluation else {}
    similarity = evidence.get("similarity")
    standing = dossier.production
    changes = changes_since(dossier, standing) if standing and not dossier.is_in_production else None
    return (
        environment()
        .get_template("report.html")
        .render(
            dossier=dossier,
            style=_STYLE.read_text(),
            sentence=verdict_of(dossier),
            requirements=requirements_of(dossier),
            scores=[(s, bounds_of(s)) for s in dossier.evaluation.scores] if dossier.evaluation else [],
            changes=changes,
            samples=evidence.get("samples", {"images": [], "seed": None}),
            pairs=evidence.get("pairs", [])[:_PAIRS],
            histogram=look_alikes(similarity) if similarity else None,
            balances=[balance(entry, id=f"balance-{i}") for i, entry in enumerate(evidence.get("balance", []))],
            limitations=limitations(dossier),
            digests=digests_of(dossier),
            kinds=[(kind.value, dossier.costs.get(kind, 0.0)) for kind in Kind],
            image=lambda digest: data_uri(read_blob(digest)),
        )
    )


def data_uri(image: bytes) -> str:
    """A PNG as a ``data:`` address; empty where the bytes are no PNG."""
    return f"data:image/png;base64,{base64.b64encode(image).decode()}" if image.startswith(_PNG) else ""
