"""How numbers, scores and verdicts are said to people. Pages, reports and commands all take their words from here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from imprimatur.policy.model import Bounds, Verdict
from imprimatur.policy.sentences import plain
from imprimatur_evaluators.protocols import SPECS

VERDICTS: Mapping[Verdict, str] = {
    Verdict.ALLOW: "meets policy",
    Verdict.DENY: "does not meet policy",
    Verdict.UNDECIDED: "cannot be decided",
}
"""The three words for a whole decision."""

RULE_VERDICTS: Mapping[Verdict, str] = {
    Verdict.ALLOW: "met",
    Verdict.DENY: "not met",
    Verdict.UNDECIDED: "cannot be decided",
}
"""The three words for one requirement."""

_SHARES = frozenset(spec.name for spec in SPECS.values() if spec.share)


@dataclass(frozen=True)
class _Statistic:
    title: str
    term: str
    note: str = ""


_PUBLISHED: Mapping[str, _Statistic] = {
    "fid": _Statistic("Image quality", "FID"),
    "fid-legacy-tensorflow": _Statistic("Image quality", "FID", "resized as TensorFlow 1 did"),
    "fid-legacy-pytorch": _Statistic("Image quality", "FID", "resized as pytorch-fid does"),
    "fid-infinity": _Statistic("Image quality", "FID", "extrapolated to infinitely many images"),
    "kid": _Statistic("Image quality, second measure", "KID"),
    "cmmd": _Statistic("Image quality, second measure", "CMMD"),
    "fd-dinov2": _Statistic("Image quality", "Frechet distance on DINOv2"),
    "clipscore": _Statistic("Prompt match", "CLIPScore", "0 to 100"),
    "clipscore-hessel": _Statistic("Prompt match", "CLIPScore as Hessel et al.", "0 to 2.5"),
    "hpsv2": _Statistic("Human preference", "HPSv2"),
    "pickscore": _Statistic("Human preference", "PickScore"),
}
"""Names that belong to one published network and are given to no other."""

_STATISTICS: Mapping[str, _Statistic] = {
    "frechet": _Statistic("Image quality", "Frechet distance"),
    "frechet-infinity": _Statistic("Image quality", "Frechet distance", "extrapolated to infinitely many images"),
    "kernel": _Statistic("Image quality, second measure", "kernel distance"),
    "kernel-rbf": _Statistic("Image quality, second measure", "Gaussian kernel distance"),
    "precision": _Statistic("Fidelity", "precision", "share of images within reach of a real one"),
    "recall": _Statistic("Variety", "recall", "share of real images within reach of a generated one"),
    "density": _Statistic("Fidelity", "density"),
    "coverage": _Statistic("Variety", "coverage", "share of real images reached"),
    "alignment": _Statistic("Prompt following", "share of images whose own prompt ranks first"),
    "cosine": _Statistic("Prompt match", "mean cosine of image and prompt", "-1 to 1"),
    "cosine-x100": _Statistic("Prompt match", "100 x mean cosine of image and prompt", "0 to 100"),
    "cosine-hessel": _Statistic("Prompt match", "2.5 x mean cosine of image and prompt", "0 to 2.5"),
    "preference": _Statistic("Human preference", "mean preference"),
    "disparity": _Statistic("Balance", "distance from the target", "0 to 1"),
    "similarity": _Statistic("Look-alikes", "share of images nearer to a protected work than the threshold"),
}


@dataclass(frozen=True)
class ScoreName:
    """A score named for people: ``title`` says what it is about, ``term`` what it is."""

    title: str
    term: str

    def __str__(self) -> str:
        return f"{self.title} ({self.term})" if self.term else self.title


def score_name(name: str, *, lower_is_better: bool | None = None) -> ScoreName:
    """The words for a score such as ``frechet/digits-clip``. Only a published network gives a published name.

    >>> str(score_name("frechet/digits-clip", lower_is_better=True))
    'Image quality (Frechet distance on digits-clip, lower is better)'
    >>> str(score_name("fid", lower_is_better=True))
    'Image quality (FID, lower is better)'
    """
    head, _, backbone = name.partition("/")
    known = _PUBLISHED.get(head) if not backbone or backbone == "inception-2015" else None
    known = known or _STATISTICS.get(head) or _Statistic(head.replace("_", " ").capitalize(), name)
    better = "" if lower_is_better is None else "lower is better" if lower_is_better else "higher is better"
    on = f" on {backbone}" if backbone and known.term != name and head not in _PUBLISHED else ""
    return ScoreName(known.title, ", ".join(part for part in (known.term + on, known.note, better) if part))


def is_share(name: str) -> bool:
    """Whether a score is a share of images, told in percent."""
    return name.partition("/")[0] in _SHARES


def unit_of(name: str) -> str:
    """The unit of a score, for an axis.

    >>> unit_of("similarity/digits-clip"), unit_of("frechet/digits-clip")
    ('% of images', 'Frechet distance, no unit')
    """
    head = name.partition("/")[0]
    if is_share(name):
        return "% of real images" if head in {"coverage", "recall"} else "% of images"
    if head == "disparity":
        return "distance from the target, 0 to 1"
    statistic = _PUBLISHED.get(head) or _STATISTICS.get(head)
    return f"{statistic.term if statistic else head}, no unit"


def brief(name: str, value: float) -> str:
    """A round number of a score in its unit, for the ends of a scale.

    >>> brief("similarity/x", 0.05), brief("similarity/x", 0.0125), brief("frechet/x", 0.5), brief("frechet/x", 0.0)
    ('5%', '1.25%', '0.5', '0')
    """
    return f"{100 * value:.4g}%" if is_share(name) else f"{value:,.4g}"


def percent(share: float) -> str:
    """A share in percent.

    >>> [percent(v) for v in (0.0126, 0.998, 1.0, 0.00034, 0.0)]
    ['1.26%', '99.80%', '100%', '0.034%', '0%']
    """
    if share in (0, 1):
        return f"{share:.0%}"
    return f"{share * 100:.2f}%" if abs(share) >= 0.001 else f"{share * 100:.2g}%"


def amount_of(name: str, value: float) -> str:
    """The value of a score in its unit, written as policies write it.

    >>> amount_of("similarity/x", 0.0126), amount_of("frechet/x", 0.1), amount_of("kernel/x", -0.0014)
    ('1.26%', '0.100', '-0.00140')
    """
    return percent(value) if is_share(name) else plain(value)


def difference_of(name: str, value: float) -> str:
    """A difference between two values of a score, with its sign; shares differ in percentage points.

    >>> difference_of("similarity/x", 0.034), difference_of("frechet/x", -0.01)
    ('+3.40 points', '-0.0100')
    """
    sign = "+" if value > 0 else ""
    return f"{sign}{100 * value:.2f} points" if is_share(name) else f"{sign}{plain(value)}"


def interval(name: str, low: float, high: float) -> str:
    """The two ends of an interval in the score's unit, the sign of percent said once.

    >>> interval("similarity/x", 0.0097, 0.0161)
    '0.97 to 1.61%'
    """
    ends = amount_of(name, low), amount_of(name, high)
    return f"{ends[0].removesuffix('%')} to {ends[1]}"


def measured(name: str, bounds: Bounds) -> str:
    """Value, interval and n in one phrase.

    >>> measured("similarity/x", Bounds(0.0126, 0.0097, 0.0161, 5000, lower_is_better=True))
    '1.26% (95% interval 0.97 to 1.61%, n = 5,000)'
    """
    ends = interval(name, bounds.ci_low, bounds.ci_high)
    return f"{amount_of(name, bounds.value)} (95% interval {ends}, n = {bounds.n:,})"


def money(amount: float, currency: str) -> str:
    """An amount with its currency; small amounts keep the digits that tell them from nothing.

    >>> money(14, "EUR"), money(0.00042, "EUR"), money(0, "EUR"), money(12345.6, "EUR")
    ('14.00 EUR', '0.0004 EUR', '0.00 EUR', '12,345.60 EUR')
    """
    if 0 < abs(amount) < 0.01:
        return f"{amount:.4f} {currency}" if abs(amount) >= 0.0001 else f"under 0.0001 {currency}"
    return f"{amount:,.2f} {currency}"


def duration(seconds: float) -> str:
    """A length of time in the unit that fits it.

    >>> [duration(s) for s in (0.4, 42, 2280, 9000, 200000)]
    ['0.4 s', '42 s', '38 min', '2.5 h', '2.3 days']
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.1f} days"


def size(count: int) -> str:
    """A number of bytes.

    >>> size(512), size(20_400_000)
    ('512 bytes', '20.4 MB')
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count} bytes"


def counted(count: int, noun: str, nouns: str = "") -> str:
    """A number with its noun.

    >>> counted(1, "image"), counted(5000, "image"), counted(2, "policy", "policies")
    ('1 image', '5,000 images', '2 policies')
    """
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def listed(parts: Collection[str]) -> str:
    """Parts as people list them.

    >>> listed(["a", "b", "c"]), listed(["a"]), listed([])
    ('a, b and c', 'a', '')
    """
    *first, last = [*parts] or [""]
    return f"{', '.join(first)} and {last}" if first else last


def moment(at: datetime) -> str:
    """A moment to the minute, in UTC."""
    return f"{at:%Y-%m-%d %H:%M} UTC"


def ago(at: datetime, now: datetime) -> str:
    """How long ago something was.

    >>> from datetime import UTC, timedelta
    >>> now = datetime(2026, 11, 23, tzinfo=UTC)
    >>> [ago(now - timedelta(seconds=s), now) for s in (5, 600, 7200, 400_000)]
    ['just now', '10 min ago', '2 h ago', '4 days ago']
    """
    seconds = (now - at).total_seconds()
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min ago"
    if seconds < 172_800:
        return f"{seconds // 3600:.0f} h ago"
    return f"{seconds // 86_400:.0f} days ago"


def needed(missing: Sequence[str]) -> str:
    """A sentence on what is still needed, empty where nothing is.

    >>> needed(["1 approval by a reviewer"])
    '1 approval by a reviewer still needed.'
    """
    if not missing:
        return ""
    text = listed([part.rstrip(".") for part in missing])
    return f"{text[0].upper()}{text[1:]} still needed."
