"""What holds for the shape of the whole: names that shadow nothing, a server without torch."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ModuleNotFoundError(f"{{name}} is blocked")
sys.meta_path.insert(0, Block())
import {module}
"""
_HEAVY = ("torch", "diffusers", "transformers", "open_clip", "torchmetrics", "faiss")


def test_the_source_root_does_not_shadow_the_standard_library() -> None:
    assert platform.python_version().startswith("3.")


@pytest.mark.parametrize(
    ("module", "blocked"),
    [("imprimatur.api.app", _HEAVY), ("imprimatur_evaluators.spec", (*_HEAVY, "imprimatur"))],
)
def test_a_module_imports_without_what_it_may_not_need(module: str, blocked: tuple[str, ...]) -> None:
    code = _BLOCK.format(blocked=set(blocked), module=module)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
