"""Every metric declares itself; published names are given to the published network alone; packages may add metrics."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from imprimatur_evaluators.errors import BadRequest
from imprimatur_evaluators.protocols import PUBLISHED, SPECS, measure_of
from imprimatur_evaluators.scoring import COMPUTED


def test_every_declared_metric_is_computed_and_no_other() -> None:
    assert SPECS.keys() == COMPUTED.keys()


def test_every_published_name_is_of_a_declared_statistic() -> None:
    assert {one.statistic for one in PUBLISHED.values()} <= SPECS.keys()
    assert not PUBLISHED.keys() & SPECS.keys()


@pytest.mark.parametrize(
    ("name", "backbone", "called"),
    [
        ("fid", None, "fid"),
        ("frechet", "inception-2015", "fid"),
        ("frechet/inception-2015", None, "fid"),
        ("frechet", "digits-clip", "frechet/digits-clip"),
        ("frechet/digits-clip", "other", "frechet/digits-clip"),
        ("cosine-x100/digits-clip", None, "cosine-x100/digits-clip"),
    ],
)
def test_only_the_published_network_gives_a_published_name(name: str, backbone: str | None, called: str) -> None:
    assert measure_of(name, backbone).name == called


@pytest.mark.parametrize("name", ["fid/digits-clip", "clipscore/digits-clip", "fidelity"])
def test_a_published_name_on_another_network_is_unknown(name: str) -> None:
    with pytest.raises(BadRequest) as caught:
        measure_of(name)
    assert caught.value.code == "unknown-metric"


def test_the_protocol_says_its_options_and_what_the_interval_covers() -> None:
    assert "k=7" in SPECS["density"].words({"k": 7})
    assert all("95% interval for the" in spec.words({}) for spec in SPECS.values())


_PLUGIN = """
from imprimatur_evaluators.spec import Direction, Metric, MetricSpec
from imprimatur_evaluators.statistics.intervals import student_mean

METRIC = Metric(
    MetricSpec({name!r}, Direction.HIGHER, "mean first number", "the mean", "a package"),
    lambda inputs: student_mean(inputs.sample.features[:, 0]),
)
"""
_USE = """
from imprimatur.policy.facts import STATISTICS
from imprimatur_evaluators.protocols import measure_of
from imprimatur_evaluators.scoring import COMPUTED
print(measure_of("first/net").name, "first" in COMPUTED, "first" in STATISTICS)
"""


def _python(root: Path, name: str) -> subprocess.CompletedProcess[str]:
    """A Python that finds a package which offers a metric of that name."""
    (root / "plugin.py").write_text(_PLUGIN.format(name=name))
    info = root / "plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[imprimatur.metrics]\nfirst = plugin:METRIC\n")
    program = f"import sys; sys.path.insert(0, {str(root)!r})\n{_USE}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_an_installed_package_adds_a_metric_that_policies_may_name(tmp_path: Path) -> None:
    ended = _python(tmp_path, "first")
    assert ended.stdout.split() == ["first/net", "True", "True"], ended.stderr


def test_a_package_takes_no_name_that_is_taken(tmp_path: Path) -> None:
    assert "offers 'frechet', which there is already" in _python(tmp_path, "frechet").stderr
