"""What in a pipeline's folder would have a library read a file, a repository or code that is not in it.

The libraries were read for this: transformers 5.23 hands whatever stands in a tokenizer's settings to the tokenizer's
class, and overrules only the settings in ``_OVERRULED``, which older versions left behind in genuine pipelines.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from imprimatur.core.errors import Refused

_SETTINGS: Mapping[str, frozenset[str]] = {
    "tokenizer_config.json": frozenset({"vocab", "merges", "init_inputs", "fast_tokenizer_files"}),
    "processor_config.json": frozenset({"audio_tokenizer"}),
    "config.json": frozenset({"configuration_files"}),
}
_TOKENIZER, _TOKENS, _AUDIO = "tokenizer_config.json", "special_tokens_map.json", "audio_tokenizer_config.json"
_OVERRULED = {"tokenizer_file", "special_tokens_map_file"}
_ADAPTER = "adapter_config.json"  # peft's: names the base that is loaded instead of what lies beside it
_CARD = "README.md"
_CODE = ("auto_map", "custom_pipelines", "trust_remote_code")
_KERNELS = ("attn_implementation", "experts_implementation")


def check_settings(path: str, document: Any) -> None:
    """Check the parsed JSON file ``path``.

    Raises Refused ``outside-file`` where it names a file or a repository, ``custom-code`` where it asks for code.
    """
    for found in _objects(document):
        for name, value in found.items():
            if value and (name in _CODE or (name.endswith(_KERNELS) and "/" in str(value))):
                raise Refused("custom-code", f"{path!r} asks for code of its own with {name!r}", file=path)
    file = PurePosixPath(path).name.lower()
    if file == _AUDIO:
        raise _outside(path, "names a model to load")
    for name, value in document.items() if isinstance(document, dict) else ():
        if value and _leads_outside(file, name):
            raise _outside(path, f"has the setting {name!r}")


def check_folder(folder: Path, top: Path, pipeline: str) -> None:
    """Check which files lie in ``top``, where ``folder`` has the ``pipeline``. Raises Refused ``outside-file``."""
    for file in sorted(top.rglob("*")):
        if file.name.lower() == _ADAPTER:
            raise _outside(file.relative_to(folder).as_posix(), "names a base to load")
    if reads_card(pipeline) and (top / _CARD).exists():
        raise _outside((top / _CARD).relative_to(folder).as_posix(), f"tells {pipeline} which others to load")


def reads_card(pipeline: str) -> bool:
    """Whether pipelines of this class load further pipelines, which their model card names."""
    return "Combined" in pipeline


def _leads_outside(file: str, name: str) -> bool:
    if file == _TOKENS:
        return not name.endswith(("_token", "_tokens"))
    if file == _TOKENIZER and name.endswith("_file"):
        return name not in _OVERRULED
    return name in _SETTINGS.get(file, ())


def _objects(document: Any) -> Iterator[Mapping[str, Any]]:
    """Every object in the document, however deep."""
    left = [document]
    while left:
        found = left.pop()
        if isinstance(found, dict):
            yield found
            left.extend(found.values())
        elif isinstance(found, list):
            left.extend(found)


def _outside(path: str, found: str) -> Refused:
    return Refused(
        "outside-file",
        f"{path!r} {found} (expected nothing that is read from outside the sealed folder); "
        "load the pipeline where it was made and save it whole, with save_pretrained",
        file=path,
    )
