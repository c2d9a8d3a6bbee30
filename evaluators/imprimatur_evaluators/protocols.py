"""Every metric by name, as it declares itself, and the published names among them: data only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points

from imprimatur_evaluators.errors import BadRequest
from imprimatur_evaluators.spec import Direction, Metric, MetricSpec, Need, Published

FEWEST = 20
"""Images below which the intervals of means and kernels no longer cover what they say."""

GROUP = "imprimatur.metrics"

_REALS = frozenset({Need.REFERENCE})
_WORKS = frozenset({Need.CALIBRATION, Need.PROTECTED})

_SPECS = (
    MetricSpec(
        "frechet",
        Direction.LOWER,
        "Frechet distance of Gaussians, bias-corrected",
        "the distance between the populations",
        "Dowson and Landau (1982); Heusel et al. (2017)",
        needs=_REALS,
    ),
    MetricSpec(
        "frechet-infinity",
        Direction.LOWER,
        "Frechet distance of Gaussians, extrapolated to infinitely many images over 15 sizes",
        "the distance between the populations",
        "Chong and Forsyth (2020)",
        needs=_REALS,
    ),
    MetricSpec(
        "kernel",
        Direction.LOWER,
        "squared MMD, kernel (x.y/d + 1)^3, full U-statistic",
        "the distance between the populations",
        "Binkowski et al. (2018)",
        low=-float("inf"),
        needs=_REALS,
    ),
    MetricSpec(
        "kernel-rbf",
        Direction.LOWER,
        "squared MMD x 1000, Gaussian kernel of deviation {sigma} on unit features, full U-statistic",
        "the distance between the populations",
        "Jayasumana et al. (2024)",
        low=-float("inf"),
        needs=_REALS,
        options={"sigma": 10.0},
    ),
    MetricSpec(
        "precision",
        Direction.HIGHER,
        "share of generated images within reach of the k={k} nearest neighbour of a real one",
        "the generator's share within this reference's reach",
        "Kynkaanniemi et al. (2019)",
        high=1.0,
        needs=_REALS,
        options={"k": 3},
        share=True,
    ),
    MetricSpec(
        "recall",
        Direction.HIGHER,
        "share of real images within reach of the k={k} nearest neighbour of a generated one",
        "the real population's share within these generated images' reach",
        "Kynkaanniemi et al. (2019)",
        high=1.0,
        needs=_REALS,
        options={"k": 3},
        share=True,
    ),
    MetricSpec(
        "density",
        Direction.HIGHER,
        "density with k={k}",
        "the expectation against this reference",
        "Naeem et al. (2020)",
        needs=_REALS,
        options={"k": 5},
    ),
    MetricSpec(
        "coverage",
        Direction.HIGHER,
        "coverage with k={k}",
        "the expectation for this many images against this reference",
        "Naeem et al. (2020)",
        high=1.0,
        needs=_REALS,
        options={"k": 5},
        share=True,
    ),
    MetricSpec(
        "alignment",
        Direction.HIGHER,
        "share of images whose own prompt ranks first among the declared prompts",
        "the share over images of these prompts",
        "Park et al. (2021), R-precision",
        high=1.0,
        options={"prompts": ()},
        fewest=2,
        share=True,
        joint=True,
        prompted=True,
    ),
    MetricSpec(
        "cosine",
        Direction.HIGHER,
        "mean cosine between image and own prompt, unscaled",
        "the mean over images of these prompts",
        "Radford et al. (2021)",
        low=-1.0,
        high=1.0,
        joint=True,
        prompted=True,
    ),
    MetricSpec(
        "cosine-x100",
        Direction.HIGHER,
        "100 x mean cosine between image and own prompt, not below zero",
        "the mean over images of these prompts",
        "torchmetrics, CLIPScore",
        high=100.0,
        joint=True,
        prompted=True,
    ),
    MetricSpec(
        "cosine-hessel",
        Direction.HIGHER,
        "mean of 2.5 x cosine between image and own prompt, each not below zero",
        "the mean over images of these prompts",
        "Hessel et al. (2021)",
        high=2.5,
        joint=True,
        prompted=True,
    ),
    MetricSpec(
        "preference",
        Direction.HIGHER,
        "mean preference for the image given its own prompt",
        "the mean over images of these prompts",
        "Kirstain et al. (2023); Wu et al. (2023)",
        low=-float("inf"),
        prompted=True,
    ),
    MetricSpec(
        "disparity",
        Direction.LOWER,
        "total variation of perceived labels, certain to {certainty}, from the target, less its bias; bootstrap, "
        "holding zero where the multinomial test does not reject",
        "the generator's distance from the target",
        "written for this library; see docs/metrics.md",
        high=1.0,
        options={"labels": (), "target": "uniform", "certainty": 0.0, "confusion": ()},
        labelled=True,
    ),
    MetricSpec(
        "disparity-by-prompt",
        Direction.LOWER,
        "mean over prompts of the total variation of perceived labels from the target, less its bias; two-stage "
        "bootstrap",
        "the mean over all prompts that these were drawn from",
        "written for this library; see docs/metrics.md",
        high=1.0,
        options={"labels": (), "target": "uniform", "certainty": 0.0},
        labelled=True,
        prompted=True,
    ),
    MetricSpec(
        "undeterminable",
        Direction.LOWER,
        "share of images in which no label is told with a certainty of {certainty}",
        "the generator's share",
        "written for this library; see docs/metrics.md",
        high=1.0,
        options={"labels": (), "target": "uniform", "certainty": 0.0},
        labelled=True,
        share=True,
    ),
    MetricSpec(
        "similarity",
        Direction.LOWER,
        "share of images nearer to a protected work than the threshold, calibrated on held-out reals at a "
        "false-positive rate of {false_positive_rate}",
        "the generator's share above this threshold",
        "Pizzi et al. (2022); Somepalli et al. (2023)",
        high=1.0,
        needs=_WORKS,
        options={"false_positive_rate": 0.01, "pairs": 20},
        fewest=1,
        share=True,
    ),
    MetricSpec(
        "extraction",
        Direction.LOWER,
        "share of training captions of which {size} generations are near-identical, and one of them to a training "
        "image; thresholds at a false-positive rate of {false_positive_rate} on held-out reals",
        "the share over all captions that these were drawn from",
        "Carlini et al. (2023)",
        high=1.0,
        needs=_WORKS,
        options={"false_positive_rate": 0.01, "size": 3},
        fewest=2,
        share=True,
        prompted=True,
    ),
)


def plugged(own: Collection[str]) -> dict[str, Metric]:
    """The metrics that installed packages offer, by name; BadRequest 'metric-taken' where ``own`` has the name."""
    found: dict[str, Metric] = {}
    for point in entry_points(group=GROUP):
        metric: Metric = point.load()
        if metric.spec.name in {*own, *found}:
            raise BadRequest("metric-taken", f"{point.value} offers '{metric.spec.name}', which there is already")
        found[metric.spec.name] = metric
    return found


PLUGGED: Mapping[str, Metric] = plugged([spec.name for spec in _SPECS])
"""The metrics that installed packages offer, by the name of the statistic."""

SPECS: Mapping[str, MetricSpec] = {spec.name: spec for spec in (*_SPECS, *(each.spec for each in PLUGGED.values()))}
"""Every metric by the name of its statistic."""

INCEPTION = "inception-2015"

PUBLISHED: Mapping[str, Published] = {
    one.name: one
    for one in (
        Published("fid", "frechet", INCEPTION),
        Published("fid-legacy-tensorflow", "frechet", f"{INCEPTION}:legacy-tensorflow"),
        Published("fid-legacy-pytorch", "frechet", f"{INCEPTION}:legacy-pytorch"),
        Published("fid-infinity", "frechet-infinity", INCEPTION),
        Published("kid", "kernel", INCEPTION),
        Published("cmmd", "kernel-rbf", "openai-clip-vit-l-14-336"),
        Published("fd-dinov2", "frechet", "dinov2-vit-l-14"),
        Published("clipscore", "cosine-x100", "openai-clip-vit-l-14"),
        Published("clipscore-hessel", "cosine-hessel", "openai-clip-vit-b-32"),
        Published("hpsv2", "preference", "hpsv2"),
        Published("pickscore", "preference", "pickscore"),
    )
}
"""The published names: each is that statistic on that network; on any other it is called ``statistic/backbone``."""


@dataclass(frozen=True)
class Measure:
    """What is to be measured: a statistic on a backbone, under the name that the score will carry."""

    name: str
    statistic: str
    backbone: str

    @property
    def spec(self) -> MetricSpec:
        """What the statistic declares."""
        return SPECS[self.statistic]


def measure_of(name: str, backbone: str | None = None) -> Measure:
    """The measure called ``fid``, ``frechet/digits-clip``, or ``frechet`` where ``backbone`` says on what.

    BadRequest 'unknown-metric' names what is known; 'no-backbone' where nothing says on what to measure.

    >>> measure_of("fid").backbone, measure_of("frechet", "inception-2015").name, measure_of("frechet/sscd").name
    ('inception-2015', 'fid', 'frechet/sscd')
    """
    if name in PUBLISHED:
        published = PUBLISHED[name]
        return Measure(name, published.statistic, published.backbone)
    statistic, _, own = name.partition("/")
    if statistic not in SPECS:
        raise BadRequest(
            "unknown-metric",
            f"there is no metric '{statistic}' (known: {', '.join(sorted({*SPECS, *PUBLISHED}))})",
        )
    chosen = own or backbone
    if not chosen:
        raise BadRequest("no-backbone", f"'{name}' does not say on which backbone (expected {name}/BACKBONE)")
    return Measure(_score_name(statistic, chosen), statistic, chosen)


def _score_name(statistic: str, backbone: str) -> str:
    for published in PUBLISHED.values():
        if (published.statistic, published.backbone) == (statistic, backbone):
            return published.name
    return f"{statistic}/{backbone}"
