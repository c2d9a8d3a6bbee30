"""``imprimatur score``: scores of a folder of images, by the scoring library alone; no server is asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from imprimatur.core.errors import BadInput
from imprimatur.core.settings import Settings
from imprimatur.core.terminal import err, out, print_json, print_table, progress
from imprimatur.registry.flavor.loading import resolve_device
from imprimatur_evaluators.backbones import Catalogue, load
from imprimatur_evaluators.captions import read_captions
from imprimatur_evaluators.features import FeatureCache
from imprimatur_evaluators.protocols import measure_of
from imprimatur_evaluators.report import Report
from imprimatur_evaluators.sources import source_of
from imprimatur_evaluators.spec import Score
from imprimatur_evaluators.suite import MetricRequest, References, Sample, measure

IMAGES = "images"
_MOST_LISTED = 20

app = typer.Typer(add_completion=False)


@app.command()
def score(
    images: Annotated[Path, typer.Option(help="Generated images: a folder, a folder of tar shards, .tar or .parquet.")],
    metrics: Annotated[str, typer.Option(help="Names with commas between: fid,kid or frechet/BACKBONE,...")],
    reference: Annotated[Path | None, typer.Option(help="Real images to compare with.")] = None,
    calibration: Annotated[Path | None, typer.Option(help="Held-out real images that set the threshold.")] = None,
    protected: Annotated[Path | None, typer.Option(help="Protected works to look for.")] = None,
    prompts: Annotated[Path | None, typer.Option(help="The prompt of each image: .json, .jsonl or .csv.")] = None,
    options: Annotated[Path | None, typer.Option(help="JSON file with options by metric.")] = None,
    backbone: Annotated[str | None, typer.Option(help="Backbone of the metrics that name none.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything that is drawn.")] = 0,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave unacceptable images out, and list them.")] = False,
    weights: Annotated[Path | None, typer.Option(help="Catalogue of weights; by default that of the home.")] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder of cached features; by default that of the home.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Threads that decode and resize.")] = 2,
    device: Annotated[str, typer.Option(help="Torch device: auto, cpu, cuda or cuda:N.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Score images against real ones: every number with its 95% interval and how it was measured."""
    settings = Settings()
    requests = _requests(metrics, backbone, _options(options))
    names = {measure_of(one.name, one.backbone).backbone for one in requests}
    catalogue = Catalogue(weights or settings.weights)
    source = source_of(images)
    captions = read_captions(prompts, source.names) if prompts is not None else [""] * len(source.names)
    real = {"reference": reference, "calibration": calibration, "protected": protected}
    with progress() as bars:
        task = bars.add_task("Embedding", total=None)
        report = measure(
            requests,
            {IMAGES: Sample(source, captions)},
            References(**{role: source_of(path) for role, path in real.items() if path is not None}),
            {name: load(name, catalogue, resolve_device(device)) for name in sorted(names)},
            seed=seed,
            cache=FeatureCache(cache or settings.features / "embeddings"),
            workers=workers,
            skip_bad=skip_bad,
            on_images=lambda more: bars.advance(task, more),
        )
    if as_json:
        print_json(document(report))
    else:
        _print(report)


def document(report: Report) -> dict[str, Any]:
    """The report as JSON: scores, and what stands behind them."""
    return {
        "scores": [each.document() for each in report.scores],
        "details": {name: dict(facts) for name, facts in report.details.items()},
        "balance": [asdict(each) for each in report.balance],
        "pairs": [asdict(each) for each in report.pairs],
        "similarities": [asdict(each) for each in report.similarities],
        "skipped": {name: [asdict(each) for each in skipped] for name, skipped in report.skipped.items()},
    }


def _requests(metrics: str, backbone: str | None, options: Mapping[str, Any]) -> list[MetricRequest]:
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    if not names:
        raise BadInput("no-metrics", "--metrics names nothing (expected names with commas between, e.g. fid,kid)")
    unknown = sorted(set(options) - set(names))
    if unknown:
        raise BadInput("bad-options", f"The options name '{unknown[0]}', which is not among the metrics ({metrics})")
    return [MetricRequest(name, IMAGES, options.get(name, {}), backbone) for name in names]


def _options(path: Path | None) -> Mapping[str, Any]:
    if path is None:
        return {}
    try:
        options = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput("bad-options", f"{path} can't be read as JSON: {error}") from error
    if not isinstance(options, dict) or not all(isinstance(each, dict) for each in options.values()):
        raise BadInput("bad-options", f"{path} is no object of metrics with their options")
    return options


def _print(report: Report) -> None:
    rows = [_row(each) for each in report.scores]
    print_table("Scores", ("metric", "value", "95% interval", "images", "better", "backbone"), rows)
    for name, skipped in report.skipped.items():
        err.print(f"Left out of {name}: {len(skipped)} unacceptable images", soft_wrap=True)
        for each in skipped[:_MOST_LISTED]:
            err.print(f"  {each.code}: {each.message}", soft_wrap=True, markup=False)
        if len(skipped) > _MOST_LISTED:
            err.print(f"  and {len(skipped) - _MOST_LISTED} more; --json lists all")
    out.print("How each was measured stands in the JSON form (--json).", style="dim")


def _row(one: Score) -> Sequence[str]:
    interval = f"{one.ci_low:.4g} to {one.ci_high:.4g}"
    return one.name, f"{one.value:.4g}", interval, f"{one.n:,}", one.direction.value, one.backbone
