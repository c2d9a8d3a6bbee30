"""What holds for the shape of the whole: names that shadow nothing, a server without torch."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_HEAVY = ("torch", "diffusers", "transformers", "open_clip", "torchmetrics", "faiss")


def test_the_source_root_does_not_shadow_the_standard_library() -> None:
    assert platform.python_version().startswith("3.")


@pytest.mark.parametrize(
    ("module", "blocked"),
    [("imprimatur.api.app", _HEAVY), ("imprimatur_evaluators.spec", (*_HEAVY, "imprimatur"))],
)
def test_a_module_imports_without_what_it_may_not_need(module: str, blocked: tuple[str, ...]) -> None:
    blocks = "; ".join(f"sys.modules[{name!r}] = None" for name in blocked)
    code = f"import sys; {blocks}; import {module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
