"""The report of a version as Markdown: the verdict, the requirements, the data, and how to check it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from imprimatur.costs.model import Kind
from imprimatur.release.model import Decision
from imprimatur.reports.document import digests_of, requirements_of
from imprimatur.reports.limitations import limitations
from imprimatur.reports.model import Dossier
from imprimatur.reports.requirements import Requirement, bounds_of, verdict_sentence
from imprimatur.reports.words import (
    RULE_VERDICTS,
    amount_of,
    counted,
    interval,
    listed,
    measured,
    moment,
    money,
    score_name,
)


def markdown_of(dossier: Dossier) -> str:
    """The dossier as Markdown text."""
    parts = [
        [f"# {_inline(dossier.version.label)}", "", verdict_of(dossier)],
        _use(dossier),
        _requirements(dossier),
        _scores(dossier),
        _data(dossier),
        _listing("Limitations", limitations(dossier)),
        _approvals(dossier),
        _cost(dossier),
        _listing("Digests", [f"{name}: `{value}`" for name, value in digests_of(dossier).items()]),
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def verdict_of(dossier: Dossier) -> str:
    """The first sentence about a version: the verdict, or what comes before one."""
    decision = dossier.decision
    if decision is not None:
        return _decided(dossier, decision)
    run = dossier.latest_run
    if dossier.version.manifest_digest is None:
        return "Not sealed yet: nothing is known of its bytes."
    if run is None:
        return "Not evaluated yet."
    if run.is_open:
        return f"Being evaluated with suite {run.suite_name}: {run.done:,} of {counted(run.total, 'image')} are made."
    if dossier.evaluation is None:
        return f"The evaluation failed: {run.error or 'no reason was recorded'}."
    if dossier.submission is None:
        return "Evaluated, but not submitted for a use yet: no policy can be asked."
    return f"Evaluated, and not decided yet for {dossier.environment}."


def _decided(dossier: Dossier, decision: Decision) -> str:
    rejection = dossier.rejection
    if rejection is None:
        return verdict_sentence(decision, dossier.missing)
    return f"{verdict_sentence(decision, ())} Rejected by {rejection.person}: {rejection.reason.rstrip('.')}."


def _use(dossier: Dossier) -> list[str]:
    submission = dossier.submission
    if submission is None:
        return []
    use = submission.use
    return [
        "## Use",
        "",
        *_table(
            ("", ""),
            [
                ("Purpose", use.purpose),
                ("Prohibited", listed(use.prohibited) or "nothing was named"),
                ("Audience", use.audience),
                ("Region", use.region),
                ("Risk tier", use.tier.value),
                ("Owner", use.owner),
                ("Review by", use.review_by.isoformat()),
                ("Submitted", f"{submission.submitted_by}, {moment(submission.submitted_at)}"),
            ],
        ),
    ]


def _requirements(dossier: Dossier) -> list[str]:
    found = requirements_of(dossier)
    if not found:
        return []
    rows = [_requirement(each) for each in found]
    return ["## Requirements", "", *_table(("", "Requirement", "Measured", "Limit", "Supports"), rows)]


def _requirement(requirement: Requirement) -> tuple[str, ...]:
    result, bounds = requirement.result, requirement.bounds
    name = result.score or ""
    return (
        RULE_VERDICTS[result.verdict],
        result.message,
        measured(name, bounds) if bounds else "a fact, not a score",
        amount_of(name, result.limit) if result.limit is not None else "",
        result.control,
    )


def _scores(dossier: Dossier) -> list[str]:
    if dossier.evaluation is None:
        return []
    rows = []
    for score in dossier.evaluation.scores:
        bounds = bounds_of(score)
        words = str(score_name(score.name, lower_is_better=bounds.lower_is_better))
        ends = interval(score.name, score.ci_low, score.ci_high)
        rows.append((words, amount_of(score.name, score.value), ends, f"{score.n:,}", score.protocol))
    return ["## Scores", "", *_table(("Score", "Value", "95% interval", "Images", "How"), rows)]


def _data(dossier: Dossier) -> list[str]:
    if not dossier.data:
        return ["## Data and rights", "", "**No training data is recorded.**"]
    rows = []
    for use in dossier.data:
        known = use.known
        owner, source = (known.owner, known.source) if known else ("unknown", "unknown")
        gaps = f"**{listed(use.gaps)}**" if use.gaps else "none"
        rows.append((use.name, use.role, owner, use.licence or "not stated", source, gaps))
    return ["## Data and rights", "", *_table(("Dataset", "For", "Owner", "Licence", "Source", "Gaps"), rows)]


def _approvals(dossier: Dossier) -> list[str]:
    rows = [(a.person, a.role, a.answer.value, a.reason, a.conditions, moment(a.at)) for a in dossier.approvals]
    columns = ("Person", "Role", "Answer", "Reason", "Conditions", "When")
    return ["## Answers", "", *_table(columns, rows)] if rows else []


def _cost(dossier: Dossier) -> list[str]:
    rows = [(kind.value, money(dossier.costs.get(kind, 0.0), dossier.currency)) for kind in Kind]
    return ["## Cost", "", *_table(("For", "Amount"), rows)]


def _listing(title: str, lines: Sequence[str]) -> list[str]:
    return [f"## {title}", "", *(f"- {line}" for line in lines)] if lines else []


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [_line(columns), _line(["---"] * len(columns)), *_lines(rows)]


def _lines(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in rows:
        yield _line([_cell(cell) for cell in row])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return _inline(text).replace("|", "\\|")


def _inline(text: str) -> str:
    """One line in which nothing that a person typed is read as HTML."""
    return " ".join(text.split()).replace("<", "&lt;")
