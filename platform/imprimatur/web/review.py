"""The review page: everything that a decision rests on, in the order in which a reviewer reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imprimatur.access.model import Principal
from imprimatur.audit.model import Event
from imprimatur.core.digests import Digest
from imprimatur.policy.model import Verdict
from imprimatur.registry.model import Lineage
from imprimatur.release.model import Answer
from imprimatur.reports.changes import Changes, changes_since
from imprimatur.reports.charts import Chart
from imprimatur.reports.document import digests_of, requirements_of
from imprimatur.reports.limitations import limitations
from imprimatur.reports.markdown import verdict_of
from imprimatur.reports.model import Dossier
from imprimatur.reports.plots import balance, look_alikes
from imprimatur.reports.requirements import Requirement
from imprimatur.reports.words import listed, moment
from imprimatur.web.answering import Buttons, buttons_for

SAMPLES = 24
WORST = 12
PAIRS = 12


@dataclass(frozen=True)
class Picture:
    """One image of the evidence with what it was asked to show; ``note`` says why it is shown here."""

    blob: Digest
    prompt: str
    seed: int | None
    note: str = ""


@dataclass(frozen=True)
class Pair:
    """A generated image beside the protected work nearest to it."""

    picture: Picture
    work: Digest
    title: str
    owner: str
    licence: str
    source: str
    similarity: float
    above: bool


@dataclass(frozen=True)
class Evidence:
    """What there is to look at."""

    seed: int | None
    samples: tuple[Picture, ...]
    worst: tuple[Picture, ...]
    pairs: tuple[Pair, ...]
    histogram: Chart | None
    balances: tuple[Chart, ...]


@dataclass(frozen=True)
class Review:
    """Everything that the template shows of one version to one reader."""

    dossier: Dossier
    sentence: str
    permits: str
    changes: Changes | None
    requirements: tuple[Requirement, ...]
    evidence: Evidence
    limitations: tuple[str, ...]
    buttons: Buttons
    digests: Mapping[str, str]
    lineage_gaps: tuple[str, ...]
    events: tuple[Event, ...]
    commands: tuple[tuple[str, str], ...]
    notice: str


def review_of(dossier: Dossier, caller: Principal, events: Sequence[Event], notice: str) -> Review:
    """The review page's contents. ``events`` are the audit log's about this version, newest first."""
    standing = dossier.production
    return Review(
        dossier=dossier,
        sentence=verdict_of(dossier),
        permits=_permits(dossier),
        changes=changes_since(dossier, standing) if standing and _is_another(dossier) else None,
        requirements=requirements_of(dossier),
        evidence=evidence_of(dossier),
        limitations=limitations(dossier),
        buttons=buttons_for(caller, dossier),
        digests=digests_of(dossier),
        lineage_gaps=lineage_gaps(dossier),
        events=tuple(events),
        commands=commands_of(dossier),
        notice=NOTICES.get(notice, ""),
    )


NOTICES: Mapping[str, str] = {
    Answer.APPROVE.value: "Your approval is recorded, in the audit log too.",
    Answer.REJECT.value: "Your rejection is recorded, in the audit log too.",
    "decided": "The policy was asked. Its answer stands below.",
    "promoted": "Released. Gateways take it up with their next bundle, within seconds.",
}
"""What a page says after a form was sent, by the word in the address; any other word says nothing."""


def evidence_of(dossier: Dossier) -> Evidence:
    """The images, pairs and charts of the dossier's evaluation."""
    found: Mapping[str, Any] = dossier.evaluation.evidence if dossier.evaluation else {}
    samples = found.get("samples") or {"seed": None, "images": []}
    similarity = found.get("similarity")
    version = dossier.version
    csv_path = f"/models/{version.model}/versions/{version.version}"
    return Evidence(
        seed=samples["seed"],
        samples=tuple(_picture(entry) for entry in samples["images"][:SAMPLES]),
        worst=tuple(_worst(entry) for entry in found.get("worst", ())[:WORST]),
        pairs=tuple(_pair(entry) for entry in found.get("pairs", ())[:PAIRS]),
        histogram=look_alikes(similarity, csv_path=f"{csv_path}/look-alikes.csv") if similarity else None,
        balances=tuple(
            balance(entry, csv_path=f"{csv_path}/balance.csv", id=f"balance-{position}")
            for position, entry in enumerate(found.get("balance", ()))
        ),
    )


def lineage_gaps(dossier: Dossier) -> tuple[str, ...]:
    """Parts of the lineage that nobody wrote down, in words; none before sealing, when nothing is read yet."""
    if dossier.version.manifest_digest is None:
        return ()
    return tuple(f"{_PARTS.get(part, part)} not recorded" for part in Lineage.parse(dossier.version.lineage).missing())


_PARTS = {
    "run_id": "training run",
    "code_commit": "code",
    "datasets": "training data",
    "device": "training machine",
    "seconds": "training time",
    "cost": "training cost",
}


def commands_of(dossier: Dossier) -> tuple[tuple[str, str], ...]:
    """What the page does, as commands: a purpose and the command for it."""
    version, place = dossier.version.label, dossier.environment
    steps = [("Verify the sealed bytes", f"imprimatur model verify {version}")]
    if dossier.submission is None:
        steps = [("Seal and submit for a use", f"imprimatur model submit {version} --use use.yaml")]
    elif dossier.decision is None:
        suite = dossier.latest_run.suite_name if dossier.latest_run else "SUITE"
        steps += [
            ("Evaluate", f"imprimatur evaluate {version} --suite {suite}"),
            ("Ask the policy", f"imprimatur decide {version} --to {place}"),
        ]
    else:
        steps += [
            ("Approve", f'imprimatur approve {dossier.decision.id} --reason "..."'),
            ("Reject", f'imprimatur reject {dossier.decision.id} --reason "..."'),
            ("Promote", f"imprimatur promote {version} --to {place}"),
        ]
    return (*steps, ("Take the report away", f"imprimatur report {version} --format html --output report.html"))


def _is_another(dossier: Dossier) -> bool:
    """Whether there are bytes to compare with others in production."""
    return dossier.version.manifest_digest is not None and not dossier.is_in_production


def _permits(dossier: Dossier) -> str:
    """What an approval permits, where, and until when."""
    submission, decision = dossier.submission, dossier.decision
    if submission is None or decision is None:
        return ""
    use = submission.use
    if dossier.is_in_production:
        since = moment(dossier.production.release.released_at) if dossier.production else ""
        return f"Stands in {decision.environment} since {since}, for this use only; review by {use.review_by}."
    if decision.verdict is not Verdict.ALLOW:
        return "Nothing can be released on this verdict."
    excluded = f" Excluded: {listed(use.prohibited)}." if use.prohibited else ""
    whom = f"“{use.purpose}” ({use.audience}, {use.region})"
    return (
        f"Approval permits these exact bytes in {decision.environment}, for {whom}, until the review by "
        f"{use.review_by}.{excluded}"
    )


def _picture(entry: Mapping[str, Any], note: str = "") -> Picture:
    return Picture(entry["blob"], entry["prompt"], entry.get("seed"), note)


def _worst(entry: Mapping[str, Any]) -> Picture:
    return _picture(entry, f"match {float(entry['alignment']):.2f} of 1")


def _pair(entry: Mapping[str, Any]) -> Pair:
    return Pair(
        picture=_picture(entry),
        work=entry["work_blob"],
        title=entry["title"],
        owner=entry["owner"],
        licence=entry["licence"],
        source=entry["source"],
        similarity=float(entry["similarity"]),
        above=bool(entry["above"]),
    )
