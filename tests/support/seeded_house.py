"""A house with a story in it: six versions of handwritten digits in every state of the line, without any torch.

Run as a program with an empty folder, it seeds that folder and serves its pages, to be looked at.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from pathlib import Path

import numpy as np
from fastapi import FastAPI
from PIL import Image, ImageDraw, ImageFont
from sqlalchemy import text

from imprimatur.access.http import LoginMiddleware
from imprimatur.access.model import Principal, Role
from imprimatur.access.routes import login_router
from imprimatur.api import schema
from imprimatur.api.wiring import House
from imprimatur.core import problems
from imprimatur.core.digests import Digest, digest_of_bytes, new_id
from imprimatur.core.settings import Settings
from imprimatur.costs.model import Kind
from imprimatur.datasets import store as dataset_rows
from imprimatur.datasets.model import Dataset, DatasetKind
from imprimatur.datasets.parquet import build
from imprimatur.evaluation import routes as evaluation_routes
from imprimatur.evaluation import store as evaluation_rows
from imprimatur.evaluation.model import Evaluation, Findings, Status, digest_of
from imprimatur.monitoring.model import ServedScore
from imprimatur.monitoring.store import put_score
from imprimatur.monitoring.tables import ServedImageRow
from imprimatur.registry import store as registry_rows
from imprimatur.registry.model import Lineage, RiskTier, Use, UsedDataset, Version
from imprimatur.registry.service import ARTIFACT_TYPE
from imprimatur.release.model import Answer, Decision
from imprimatur.reports import routes as report_routes
from imprimatur.storage.service import SealedStore
from imprimatur.web.pages import login_page
from imprimatur.web.rooms import Rooms
from imprimatur.web.routes import pages
from imprimatur_evaluators.spec import Direction, Score

ANA = Principal("ana", frozenset({Role.ENGINEER}), "imaging")
BEN = Principal("ben", frozenset({Role.REVIEWER}), "compliance")
OLGA = Principal("olga", frozenset({Role.OPERATOR}), "platform")
ROOT = Principal("root", frozenset({Role.ADMIN, Role.REVIEWER}), "platform")
PEOPLE = (ANA, BEN, OLGA, ROOT)

MODEL = "digits"
BACKBONE = "digits-clip"
WEIGHTS = digest_of_bytes(b"the weights of digits-clip")
START = datetime(2026, 11, 16, 9, 12, tzinfo=UTC)
DEMO = Path(sys.modules["imprimatur.reports"].__file__ or "").parents[1] / "demo"
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True)
class Story:
    """How one version turned out: its look-alikes, its favoured digits, and how far along the line it is."""

    version: int
    look_alikes: float
    skew: float
    n: int = 700
    frechet: float = 0.055
    data: str = "digits-train"
    licence: str = "CC-BY-4.0"


STORIES = (
    Story(1, look_alikes=0.010, skew=0.0),
    Story(2, look_alikes=0.262, skew=0.05, frechet=0.071, data="digits-archive"),
    Story(3, look_alikes=0.008, skew=0.62, frechet=0.094, data="digits-skewed"),
    Story(4, look_alikes=0.012, skew=0.02, frechet=0.048),
    Story(5, look_alikes=0.044, skew=0.03, n=220, frechet=0.052),
)


class Clock:
    """A clock that the seed moves on, and that then runs from there."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        """The present moment of the story."""
        self.at += timedelta(seconds=1)
        return self.at


def seed(home: Path, *, now: datetime | None = None) -> None:
    """Write the whole story into an empty home; it ends at ``now``."""
    settings = Settings(home=home)
    home.mkdir(parents=True, exist_ok=True)
    schema.upgrade(settings.database)
    clock = Clock(START)
    house = House.open(settings, clock)
    try:
        _hire(house)
        _prepare(house)
        for story in STORIES:
            clock.at = START + timedelta(days=story.version - 1)
            version = _seal(house, story)
            _evaluate(house, version, story)
            house.releases.decide(ANA, MODEL, story.version, "production")
            if story.version == 1:
                _release_first(house)
        clock.at = START + timedelta(days=5)
        _register(house, 6)
        clock.at = (now or START + timedelta(days=6, hours=20)) - timedelta(minutes=5)
        _serve(house, clock.at)
    finally:
        house.close()


def rooms_of(house: House) -> Rooms:
    """The rooms that the pages look into."""
    return Rooms(
        log=house.log,
        registry=house.registry,
        evaluations=house.evaluations,
        releases=house.releases,
        reports=house.reports,
        ledger=house.ledger,
        monitor=house.monitor,
        environments=house.settings.environments,
    )


def app_of(house: House) -> LoginMiddleware:
    """The pages behind the real door, with the evidence and the reports that they link to."""
    app = FastAPI()
    problems.install(app)
    app.include_router(login_router(house.accounts, login_page))
    app.include_router(evaluation_routes.router(house.evaluations), prefix="/api/v1")
    app.include_router(report_routes.router(house.reports), prefix="/api/v1")
    app.include_router(pages(rooms_of(house)))
    return LoginMiddleware(app, house.accounts, ("127.0.0.1", "localhost", "testserver"))


def newest_decision(house: House, version: int) -> Decision:
    """The newest decision on a version of the story."""
    return house.releases.decisions_of(house.registry.version(MODEL, version).id)[0]


def _hire(house: House) -> None:
    house.accounts.bootstrap("admin")
    admin = Principal("admin", frozenset({Role.ADMIN}), "platform")
    for person in PEOPLE:
        house.accounts.add(admin, person.name, person.roles, person.team)


def _prepare(house: House) -> None:
    prompts = [(f"a handwritten {word}", str(digit), "conditional") for digit, word in enumerate(_WORDS)]
    prompts.append(("a handwritten digit", "", "neutral"))
    columns = dict(zip(("prompt", "label", "group"), map(list, zip(*prompts, strict=True)), strict=True))
    _dataset(house, "digits-prompts", DatasetKind.PROMPTS, build(columns), len(prompts))
    for name, kind, rows in (
        ("digits-train", DatasetKind.REFERENCE, 1078),
        ("digits-skewed", DatasetKind.REFERENCE, 812),
        ("digits-reference", DatasetKind.REFERENCE, 360),
        ("digits-calibration", DatasetKind.CALIBRATION, 359),
        ("digits-protected", DatasetKind.PROTECTED, 8),
    ):
        _dataset(house, name, kind, name.encode(), rows)
    house.evaluations.add_suite(BEN, (DEMO / "digits-suite.yaml").read_text())
    policy = house.policies.apply(BEN, (DEMO / "digits-production.yaml").read_text())
    house.policies.approve(ROOT, policy.name, policy.version)


def _dataset(house: House, name: str, kind: DatasetKind, content: bytes, rows: int) -> None:
    failed = False
    check = {
        "name": "labels-balanced",
        "title": "Labels are balanced",
        "passed": not failed,
        "found": "one in two is 1",
    }
    dataset = Dataset(
        name=name,
        kind=kind,
        digest=house.sealed.put_blob(content),
        owner="E. Alpaydin, C. Kaynak",
        licence="CC-BY-4.0",
        source="UCI Machine Learning Repository, Optical Recognition of Handwritten Digits",
        rows=rows,
        added_by="ana",
        added_at=START,
        validation={"passed": not failed, "engine": "great-expectations", "expectations": [check]},
    )
    with house.database.transaction() as session:
        dataset_rows.insert(session, dataset)


def _register(house: House, number: int) -> None:
    with house.log.unit_of_work("ana", "version.register", f"{MODEL}/{number}") as unit:
        row = registry_rows.add_version(
            unit.session,
            model=MODEL,
            version=number,
            run_id=f"{number:032x}",
            source=f"models:/{MODEL}/{number}",
            team="imaging",
            by="ana",
            at=house.log.clock(),
        )
        unit.record("version.registered", version_id=row.id, source=row.source)


def _seal(house: House, story: Story) -> Version:
    _register(house, story.version)
    folder = house.settings.home / "staging" / str(story.version)
    (folder / "unet").mkdir(parents=True)
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(f"weights {story.version}".encode() * 4000)
    manifest = house.sealed.seal_folder(folder, artifact_type=ARTIFACT_TYPE)
    lineage = _lineage(house, story)
    with house.log.unit_of_work("ana", "version.seal", f"{MODEL}/{story.version}") as unit:
        row = registry_rows.version_row(unit.session, MODEL, story.version)
        assert row is not None
        row.manifest_digest, row.sealed_by, row.sealed_at = manifest.digest, "ana", house.log.clock()
        row.lineage = lineage.document()
        unit.record("version.sealed", manifest=manifest.digest, files=len(manifest.files), bytes=manifest.size)
    house.ledger.record(
        reference=f"run:{story.version:032x}",
        kind=Kind.TRAINING,
        team="imaging",
        model=MODEL,
        version=story.version,
        device="cpu",
        seconds=610 + 47 * story.version,
    )
    house.registry.submit(ANA, MODEL, story.version, _use())
    return house.registry.version(MODEL, story.version)


def _lineage(house: House, story: Story) -> Lineage:
    known = {dataset.name: dataset.digest for dataset in house.datasets.list()}
    digest = known.get(story.data) or digest_of_bytes(story.data.encode())
    return Lineage(
        run_id=f"{story.version:032x}",
        code_commit="9c41e2a07b",
        datasets=(UsedDataset(story.data, digest, story.licence),),
        base_model=None if story.version == 1 else house.registry.version(MODEL, 1).manifest_digest,
        device="cpu",
        seconds=610.0,
        cost=0.034,
        currency="EUR",
    )


def _use() -> Use:
    return Use(
        purpose="Handwritten digits for a children's arithmetic game",
        prohibited=("Reading or forging documents", "Likeness of a person's handwriting"),
        audience="Children and their teachers",
        region="EU",
        tier=RiskTier.LIMITED,
        owner="ana",
        review_by=date(2027, 5, 22),
    )


def _evaluate(house: House, version: Version, story: Story) -> None:
    suite = house.evaluations.suite("digits")
    datasets = {role: house.datasets.get(name).digest for role, name in suite.datasets.items()}
    run = Evaluation(
        id=new_id("eval"),
        version_id=version.id,
        manifest_digest=version.manifest_digest or "",
        suite_name=suite.name,
        suite_digest=suite.digest,
        seed=0,
        status=Status.QUEUED,
        done=0,
        total=story.n,
        build="",
        device="",
        seconds=0.0,
        scores=(),
        evidence={"datasets": datasets},
        digest=None,
        error=None,
        requested_by="ana",
        requested_at=house.log.clock(),
        finished_at=None,
        attempts=0,
        worker="",
    )
    evidence = {**evidence_of(house.sealed, story), "datasets": datasets}
    findings = Findings(scores_of(story), evidence, "imprimatur-evaluators 0.1.0 (d83f9f8)", "cpu")
    with house.log.unit_of_work("imprimatur", "evaluation.complete", version.label) as unit:
        evaluation_rows.insert(unit.session, run)
        evaluation_rows.begin(unit.session, run)
        evaluation_rows.complete(
            unit.session, run.id, findings, digest=digest_of(run, findings), seconds=58.0, at=house.log.clock()
        )
        unit.record("evaluation.completed", evaluation=run.id, suite=suite.digest)
    house.ledger.record(
        reference=f"evaluation:{run.id}",
        kind=Kind.EVALUATION,
        team="imaging",
        model=MODEL,
        version=story.version,
        device="cpu",
        seconds=58.0,
        images=story.n,
    )


def scores_of(story: Story) -> tuple[Score, ...]:
    """What the story's evaluation measured."""
    wide = 1.96 * (story.look_alikes * (1 - story.look_alikes) / story.n) ** 0.5
    values = (
        ("frechet", story.frechet, 0.012, Direction.LOWER),
        ("kernel", story.frechet / 50 - 0.0009, 0.0004, Direction.LOWER),
        ("density", 0.94 - story.skew / 4, 0.05, Direction.HIGHER),
        ("coverage", 0.91 - story.skew / 3, 0.03, Direction.HIGHER),
        ("alignment", 0.982 - story.skew / 20, 0.011, Direction.HIGHER),
        ("disparity", 0.09 + 0.8 * story.skew, 0.045, Direction.LOWER),
        ("similarity", story.look_alikes, wide, Direction.LOWER),
    )
    return tuple(
        Score(
            name=f"{name}/{BACKBONE}",
            value=value,
            ci_low=max(value - spread, -0.001 if name == "kernel" else 0.0),
            ci_high=value + spread,
            n=story.n,
            direction=direction,
            backbone=BACKBONE,
            weights_digest=WEIGHTS,
            protocol="uint8 images, bicubic to 32 pixels, 95% bootstrap interval",
            seed=0,
        )
        for name, value, spread, direction in values
    )


def evidence_of(sealed: SealedStore, story: Story) -> dict[str, object]:
    """What the story's evaluation has to show, its images in the sealed store."""
    generator = np.random.default_rng(story.version)
    put = sealed.put_blob

    def shown(digit: int, prompt: str) -> dict[str, object]:
        number = int(generator.integers(1 << 30))
        return {"blob": put(_png(digit, number)), "prompt": prompt, "seed": number}

    samples = [shown(digit, f"a handwritten {_WORDS[digit]}") for digit in generator.integers(0, 10, 24)]
    worst = [
        {**shown(int(digit), f"a handwritten {_WORDS[(digit + 3) % 10]}"), "alignment": 0.11 + i / 50, "margin": -0.2}
        for i, digit in enumerate(generator.integers(0, 10, 12))
    ]
    hits = round(story.look_alikes * story.n)
    return {
        "samples": {"seed": 0, "images": samples},
        "worst": worst,
        "pairs": [_pair(put, shown, i, above=i < hits) for i in range(12)],
        "similarity": _histogram(generator, story, hits),
        "balance": [_balance(generator, story)],
        "details": {},
    }


def _pair(
    put: Callable[[bytes], Digest], shown: Callable[[int, str], dict[str, object]], position: int, *, above: bool
) -> dict[str, object]:
    digit = (7 * position + 3) % 10
    work = position % 8
    return {
        **shown(digit, f"a handwritten {_WORDS[digit]}"),
        "work_blob": put(_png(digit, 5000 + work)),
        "title": f"Digit study {work + 1}",
        "owner": "Archive of the Printing House",
        "licence": "all rights reserved",
        "source": "archive scan",
        "similarity": (0.99 if above else 0.93) - position / 400,
        "above": above,
    }


def _histogram(generator: np.random.Generator, story: Story, hits: int) -> dict[str, object]:
    edges = [round(0.5 + i / 60, 4) for i in range(31)]
    real = np.histogram(np.clip(generator.normal(0.82, 0.05, 359), 0.5, 0.9999), edges)[0]
    ours = np.histogram(np.clip(generator.normal(0.83, 0.045, story.n - hits), 0.5, 0.945), edges)[0]
    near = np.histogram(np.clip(generator.normal(0.98, 0.01, hits), 0.951, 0.9999), edges)[0]
    return {
        "threshold": 0.95,
        "false_positive_rate": 0.01,
        "expected_false_alarms": 0.01 * story.n,
        "hits": hits,
        "n": story.n,
        "generated": [int(count) for count in ours + near],
        "held_out": [int(count) for count in real],
        "edges": edges,
    }


def _balance(generator: np.random.Generator, story: Story) -> dict[str, object]:
    shares = np.full(10, (1 - story.skew) / 10)
    shares[1] += story.skew * 0.6
    shares[7] += story.skew * 0.4
    counts = generator.multinomial(200, shares)
    return {
        "prompt": "a handwritten digit",
        "labels": [str(digit) for digit in range(10)],
        "counts": [int(count) for count in counts],
        "target": [0.1] * 10,
        "n": 200,
        "total_variation": 0.09,
        "null_expectation": 0.08,
        "p_value": 0.4,
    }


def _release_first(house: House) -> None:
    decision = newest_decision(house, 1)
    house.releases.answer(
        BEN, decision.id, Answer.APPROVE, "Samples and pairs looked at; all look-alikes are false alarms."
    )
    with house.database.transaction() as session:  # MLflow's own rows, which the alias needs
        now = int(START.timestamp() * 1000)
        session.execute(
            text(
                "INSERT INTO registered_models (workspace, name, creation_time, last_updated_time) "
                "VALUES ('default', :name, :now, :now)"
            ),
            {"name": MODEL, "now": now},
        )
    house.releases.promote(OLGA, MODEL, 1, "production")


def _serve(house: House, now: datetime) -> None:
    generator = np.random.default_rng(9)
    release = house.releases.current(MODEL, "production")
    assert release is not None
    place = {"manifest_digest": release.manifest_digest, "environment": "production"}
    with house.database.transaction() as session:
        for i in range(64):
            margin = float(generator.normal(0.3, 0.1))
            session.add(
                ServedImageRow(
                    id=f"img-{i:04}",
                    at=now - timedelta(minutes=15 * i),
                    model=MODEL,
                    version=1,
                    **place,
                    prompt="a handwritten three",
                    image=f"{i}.png",
                    waiting=False,
                    backbone=BACKBONE,
                    weights_digest=WEIGHTS,
                    cosine=0.5 + margin,
                    margin=margin,
                )
            )
        for hour in range(8):
            put_score(session, _served(release.manifest_digest, now - timedelta(hours=8 - hour), generator))
    for i in range(64):
        house.ledger.record(
            reference=f"served:img-{i:04}",
            kind=Kind.SERVING,
            team="arithmetic-game",
            model=MODEL,
            version=1,
            device="cpu",
            seconds=1.9,
            images=1,
        )


def _served(manifest: Digest, end: datetime, generator: np.random.Generator) -> ServedScore:
    value = float(generator.uniform(0.965, 0.985))
    return ServedScore(
        model=MODEL,
        version=1,
        manifest_digest=manifest,
        environment="production",
        window_start=end - timedelta(hours=1),
        window_end=end,
        served=52,
        name=f"alignment/{BACKBONE}",
        value=value,
        ci_low=value - 0.03,
        ci_high=min(value + 0.02, 1.0),
        n=48,
        at=end,
    )


def _png(digit: int, number: int) -> bytes:
    generator = np.random.default_rng(number)
    font = ImageFont.load_default(size=24)
    canvas = Image.new("L", (32, 32), 12)
    ImageDraw.Draw(canvas).text((16, 16), str(digit), fill=245, font=font, anchor="mm")
    turned = canvas.rotate(float(generator.uniform(-16, 16)), Image.Resampling.BICUBIC, fillcolor=12)
    noisy = np.asarray(turned, dtype=np.float64) + generator.normal(0, 9, (32, 32))
    sink = BytesIO()
    Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).convert("RGB").save(sink, "PNG")
    return sink.getvalue()


def serve(arguments: Sequence[str]) -> None:
    """Seed the folder and serve its pages; one login link for each person is printed."""
    import uvicorn

    home, port = Path(arguments[0]), int(arguments[1])
    if not (home / "imprimatur.db").exists():
        seed(home, now=datetime.now(UTC))
    house = House.open(Settings(home=home))
    for person in PEOPLE:
        token = house.accounts.login_link_token(person.name)
        sys.stdout.write(f"{person.name} http://127.0.0.1:{port}/login?token={token}\n")
    sys.stdout.flush()
    uvicorn.run(app_of(house), host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    serve(sys.argv[1:])
