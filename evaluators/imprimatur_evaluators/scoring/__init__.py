"""How each metric is computed from features, one file a family, and what a pass hands to it."""

from __future__ import annotations

from collections.abc import Mapping

from imprimatur_evaluators.protocols import PLUGGED
from imprimatur_evaluators.scoring import alignment, bias, lookalikes, quality
from imprimatur_evaluators.scoring.model import Compute

COMPUTED: Mapping[str, Compute] = {
    **quality.METRICS,
    **alignment.METRICS,
    **bias.METRICS,
    **lookalikes.METRICS,
    **{name: metric.compute for name, metric in PLUGGED.items()},
}
"""What computes each statistic of ``protocols.SPECS``."""
