"""Every folder that must not be sealed is refused with its code, naming the file; whole pipelines are admitted."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from imprimatur.core.errors import ImprimaturError
from imprimatur.registry.admission import admit
from imprimatur.registry.outside import reads_card
from imprimatur.registry.parts import needs_of
from imprimatur.registry.safetensors_header import read_header
from imprimatur.registry.stock import stock_classes

_PIPELINE = Path("pipeline")
_WEIGHTS = _PIPELINE / "unet" / "diffusion_pytorch_model.safetensors"
_F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@dataclass(frozen=True)
class Case:
    """A way to spoil a saved model's folder, the code that it must be refused with, and the file to be named."""

    name: str
    spoil: Callable[[Path], None]
    code: str
    file: str = ""


class _Executed:
    """What a pickle would do if anybody loaded it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("/tmp/imprimatur-was-here").touch, ())  # noqa: S108  proof of execution, never made


def _write(path: str | Path, data: bytes) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)

    return spoil


def _tensors(header: object, data: bytes = b"\0" * 8, *, length: int | None = None) -> Callable[[Path], None]:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return _write(_WEIGHTS, struct.pack("<Q", len(text) if length is None else length) + text + data)


def _index(**changes: object) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / _PIPELINE / "model_index.json"
        path.write_text(json.dumps({**json.loads(path.read_bytes()), **changes}))

    return spoil


def _settings(path: str, **changes: object) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        target = folder / _PIPELINE / path
        before = json.loads(target.read_bytes()) if target.exists() else {}
        target.write_text(json.dumps({**before, **changes}))

    return spoil


def _both(*spoils: Callable[[Path], None]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        for each in spoils:
            each(folder)

    return spoil


def _mlmodel(old: str, new: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        path = folder / "MLmodel"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    return spoil


def _remove(path: str | Path) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / path).unlink()

    return spoil


def _link(folder: Path) -> None:
    (folder / "notes.txt").symlink_to("/etc/passwd")


def _second_pipeline(folder: Path) -> None:
    shutil.copy(folder / _PIPELINE / "model_index.json", folder / "model_index.json")


def _archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(_Executed()))
    return buffer.getvalue()


_PICKLE = pickle.dumps(_Executed())
_SHARDS = "pipeline/unet/diffusion_pytorch_model.safetensors.index.json"
_SCHEDULER = "pipeline/scheduler/scheduler_config.json"
_BAD = "bad-safetensors"
_UNET = str(_WEIGHTS)
_ENCODER = "pipeline/text_encoder"
_TOKENIZER, _TOKENS = "tokenizer/tokenizer_config.json", "tokenizer/special_tokens_map.json"
_PART = ["diffusers", "AutoencoderKL"]
_NAN = struct.pack("<f", float("nan"))

SAFETENSORS: Mapping[str, Callable[[Path], None]] = {
    "01 empty": _write(_WEIGHTS, b""),
    "01 seven bytes": _write(_WEIGHTS, b"\x01" * 7),
    "02 header of 2^63": _write(_WEIGHTS, struct.pack("<Q", 2**63) + b"{}"),
    "03 header over the bound": _write(_WEIGHTS, struct.pack("<Q", 200_000_000) + b"{}"),
    "04 length past the end": _tensors({"a": _F32}, length=10_000),
    "05 no JSON": _tensors(b"{nothing}"),
    "05 bad UTF-8": _tensors(b'{"\xff": 1}'),
    "05 a list": _tensors([1]),
    "06 overlap": _tensors({"a": _F32, "b": {**_F32, "data_offsets": [4, 12]}}, b"\0" * 12),
    "06 the same bytes twice": _tensors({"a": _F32, "b": _F32}),
    "06 hole": _tensors({"a": _F32, "b": {**_F32, "data_offsets": [12, 20]}}, b"\0" * 20),
    "06 hole at the start": _tensors({"a": {**_F32, "data_offsets": [4, 12]}}, b"\0" * 12),
    "07 trailing bytes": _tensors({"a": _F32}, b"\0" * 9),
    "08 truncated": _tensors({"a": _F32}, b"\0" * 7),
    "08 no data": _tensors({"a": _F32}, b""),
    "09 shape overflow": _tensors({"a": {**_F32, "shape": [2**32, 2**32]}}),
    "09 shape overflow of nothing": _tensors({"a": {**_F32, "shape": [0, 2**53, 2**53], "data_offsets": [0, 0]}}, b""),
    "09 negative size": _tensors({"a": {**_F32, "shape": [-2]}}),
    "09 negative offset": _tensors({"a": {**_F32, "data_offsets": [-8, 0]}}),
    "09 offsets turned round": _tensors({"a": {**_F32, "data_offsets": [8, 0]}}),
    "09 true as a size": _tensors({"a": {**_F32, "shape": [True, 2]}}),
    "09 shape and bytes differ": _tensors({"a": {**_F32, "shape": [3]}}),
    "09 13 dimensions": _tensors({"a": {**_F32, "shape": [1] * 12 + [2]}}),
    "10 deep JSON": _tensors(b"[" * 20_000),
    "11 duplicate tensor": _tensors(
        b'{"a": {"dtype":"F32","shape":[2],"data_offsets":[0,8]}, "a": {"dtype":"U8","shape":[8],"data_offsets":[0,8]}}'
    ),
    "11 duplicate field": _tensors(b'{"a": {"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}'),
    "12 path as a name": _tensors({"../../etc/passwd": _F32}),
    "12 empty name": _tensors({"": _F32}),
    "12 control character": _tensors({"a\nb": _F32}),
    "13 NaN": _tensors({"a": _F32}, struct.pack("<ff", 1.0, float("nan"))),
    "13 infinity": _tensors({"a": _F32}, struct.pack("<ff", float("-inf"), 0.0)),
    "13 half infinity": _tensors({"a": {**_F32, "dtype": "BF16", "shape": [4]}}, b"\0\0\0\0\0\0\x80\x7f"),
    "13 NaN of 8 bits": _tensors({"a": {**_F32, "dtype": "F8_E4M3", "shape": [8]}}, b"\0" * 7 + b"\x7f"),
    "13 negative NaN of 8 bits": _tensors({"a": {**_F32, "dtype": "F8_E4M3", "shape": [8]}}, b"\xff" + b"\0" * 7),
    "13 NaN among powers of two": _tensors({"a": {**_F32, "dtype": "F8_E8M0", "shape": [8]}}, b"\0" * 7 + b"\xff"),
    "13 NaN in a complex number": _tensors({"a": {**_F32, "dtype": "C64", "shape": [1]}}, b"\0" * 4 + _NAN),
    "14 100,000 empty tensors": _tensors(
        {f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(100_000)}, b""
    ),
    "15 no tensors": _tensors({}, b""),
    "15 metadata only": _tensors({"__metadata__": {"format": "pt"}}, b""),
    "16 huge metadata": _tensors({"a": _F32, "__metadata__": {"x": "y" * (2 << 20)}}),
    "16 metadata that is no text": _tensors({"a": _F32, "__metadata__": {"x": 1}}),
    "16 half a character in metadata": _tensors({"a": _F32, "__metadata__": {"x": "\ud800"}}),
    "17 unknown field": _tensors({"a": {**_F32, "code": "import os"}}),
    "17 missing field": _tensors({"a": {"dtype": "F32", "shape": [2]}}),
    "17 unknown type": _tensors({"a": {**_F32, "dtype": "PICKLE"}}),
}

FOLDERS = [
    Case("18 pickle as safetensors", _write(_WEIGHTS, _PICKLE), "pickle-file", _UNET),
    Case("18 pickle as JSON", _write("pipeline/unet/config.json", _PICKLE), "pickle-file", "pipeline/unet/config.json"),
    Case("18 pickle as text", _write("notes.txt", _PICKLE), "pickle-file", "notes.txt"),
    Case("18 pickle as a vocabulary", _write("pipeline/spiece.model", _PICKLE), "pickle-file", "pipeline/spiece.model"),
    Case("19 archive as safetensors", _write(_WEIGHTS, _archive()), "pickle-file", _UNET),
    Case(
        "20 broken pickle", _write("pipeline/unet/model.json", _PICKLE[:-3]), "pickle-file", "pipeline/unet/model.json"
    ),
    Case("21 a .bin file", _write("pipeline/unet/model.bin", b"x"), "pickle-file", "pipeline/unet/model.bin"),
    Case("21 a .BIN file", _write("pipeline/unet/model.BIN", b"x"), "pickle-file", "pipeline/unet/model.BIN"),
    Case("21 a .pt file", _write("model.pt", b"x"), "pickle-file", "model.pt"),
    Case("21 a .ckpt file", _write("model.ckpt", b"x"), "pickle-file", "model.ckpt"),
    Case("21 a .pkl file", _write("model.pkl", _PICKLE), "pickle-file", "model.pkl"),
    Case("22 python", _write("pipeline/pipeline.py", b"import os"), "code-file", "pipeline/pipeline.py"),
    Case("22 shared library", _write("pipeline/fast.so", b"\x7fELF"), "code-file", "pipeline/fast.so"),
    Case("22 unknown kind", _write("pipeline/unet/graph.onnx", b"x"), "file-type", "pipeline/unet/graph.onnx"),
    Case("22 no suffix", _write("weights", b"x"), "file-type", "weights"),
    Case("23 own pipeline", _index(_class_name="OwnPipeline"), "custom-code"),
    Case("23 pipeline from a module", _index(_class_name=["pipeline", "OwnPipeline"]), "bad-model-index"),
    Case("23 own component", _index(unet=["own_unet", "OwnModel"]), "custom-code"),
    Case("23 standard library", _index(unet=["builtins", "eval"]), "custom-code"),
    Case("23 component as an object", _index(unet={"library": "diffusers"}), "bad-model-index"),
    Case("23 component of three parts", _index(unet=["diffusers", "UNet2DConditionModel", "x"]), "bad-model-index"),
    Case("23 auto_map", _write("pipeline/unet/config.json", b'{"auto_map": {"AutoModel": "own.Own"}}'), "custom-code"),
    Case("23 own loader", _mlmodel("imprimatur.registry.flavor", "own.loader"), "custom-code", "MLmodel"),
    Case(
        "23 code beside",
        _mlmodel("  python_function:\n", "  python_function:\n    code: src\n"),
        "custom-code",
        "MLmodel",
    ),
    Case("24 component outside", _index(**{"../x": ["diffusers", "UNet2DConditionModel"]}), "missing-component"),
    Case("24 component without a name", _index(**{"": _PART}), "missing-component"),
    Case("24 component with an endless name", _index(**{"x" * 3000: _PART}), "missing-component"),
    Case("24 component named by half a character", _index(**{"\ud800": _PART}), "bad-json"),
    Case("25 link", _link, "not-a-file", "notes.txt"),
    Case("26 case only", _write("REQUIREMENTS.txt", b"x"), "path-collision"),
    Case("27 git", _write(".git/config.txt", b"x"), "bad-path"),
    Case(
        "31 missing shard",
        _write(_SHARDS, json.dumps({"weight_map": {"a": "model-1.safetensors"}}).encode()),
        "missing-shard",
        _SHARDS,
    ),
    Case(
        "31 shard without the tensor",
        _write(_SHARDS, json.dumps({"weight_map": {"no.such": _WEIGHTS.name}}).encode()),
        "missing-shard",
    ),
    Case("31 map of nothing", _write(_SHARDS, b'{"weight_map": {}}'), "missing-shard", _SHARDS),
    Case("31 component gone", _index(extra=["diffusers", "AutoencoderKL"]), "missing-component", "extra"),
    Case(
        "36 duplicate key",
        _write("pipeline/unet/config.json", b'{"a": 1, "a": 2}'),
        "bad-json",
        "pipeline/unet/config.json",
    ),
    Case("35 NaN in a configuration", _write("pipeline/unet/config.json", b'{"a": NaN}'), "bad-json"),
    Case("35 endless number", _write("pipeline/unet/config.json", b'{"a": 1e999}'), "bad-json"),
    Case("35 -Infinity for another name", _write(_SCHEDULER, b'{"beta_start": -Infinity}'), "bad-json"),
    Case("35 -Infinity in a list", _write(_SCHEDULER, b'{"lambda_min_clipped": [-Infinity]}'), "bad-json"),
    Case("35 infinity", _write(_SCHEDULER, b'{"lambda_min_clipped": Infinity}'), "bad-json"),
    Case(
        "35 -Infinity elsewhere", _write("pipeline/unet/config.json", b'{"lambda_min_clipped": -Infinity}'), "bad-json"
    ),
    Case("05 deep configuration", _write("pipeline/unet/config.json", b"[" * 20_000), "bad-json"),
    Case("03 large configuration", _write("pipeline/unet/config.json", b"[" + b"1," * (2 << 20) + b"1]"), "bad-json"),
    Case("no UTF-8 text", _write("notes.txt", b"\xff\xfe"), "bad-text", "notes.txt"),
    Case("zero byte in text", _write("notes.txt", b"a\0b"), "bad-text", "notes.txt"),
    Case(
        "41 peft's adapter in a component",
        _settings("text_encoder/adapter_config.json", base_model_name_or_path="/outside"),
        "outside-file",
        f"{_ENCODER}/adapter_config.json",
    ),
    Case("42 model without configuration", _remove(f"{_ENCODER}/config.json"), "missing-component", "text_encoder"),
    Case("42 model without weights", _remove(f"{_ENCODER}/model.safetensors"), "missing-component", "text_encoder"),
    Case("42 scheduler without configuration", _remove(_SCHEDULER), "missing-component"),
    Case("42 tokenizer without configuration", _remove(f"pipeline/{_TOKENIZER}"), "missing-component", "tokenizer"),
    *(
        Case(f"43 {name} in {path}", _settings(path, **{name: value}), "outside-file", f"pipeline/{path}")
        for path, name, value in (
            (_TOKENIZER, "vocab", "/outside.json"),
            (_TOKENIZER, "merges", "/outside.txt"),
            (_TOKENIZER, "init_inputs", ["/outside.json"]),
            (_TOKENIZER, "vocab_file", "/outside.json"),
            (_TOKENIZER, "merges_file", "/outside.txt"),
            (_TOKENIZER, "gguf_file", "/outside.gguf"),
            (_TOKENIZER, "fast_tokenizer_files", ["../../tokenizer.1.0.json"]),
            (_TOKENS, "vocab", "/outside.json"),
            (_TOKENS, "tokenizer_file", "/outside.json"),
            (_TOKENS, "name_or_path", "owner/model"),
            ("text_encoder/config.json", "configuration_files", ["/config.1.0.json"]),
            ("tokenizer/processor_config.json", "audio_tokenizer", {"audio_tokenizer_class": "DacModel"}),
            ("tokenizer/audio_tokenizer_config.json", "audio_tokenizer_name_or_path", "owner/model"),
        )
    ),
    Case(
        "43 a card that names other pipelines",
        _both(_index(_class_name="KandinskyCombinedPipeline"), _write("pipeline/README.md", b"---\nprior: [x/y]\n---")),
        "outside-file",
        "pipeline/README.md",
    ),
    Case("44 a kernel", _settings("text_encoder/config.json", attn_implementation="owner/kernel"), "custom-code"),
    Case(
        "44 auto_map within", _settings("unet/config.json", text_config={"auto_map": {"A": "own.Own"}}), "custom-code"
    ),
    Case("45 data elsewhere", _mlmodel("data: pipeline", "data: /outside"), "outside-file", "MLmodel"),
    Case("45 data beside", _mlmodel("data: pipeline", "data: pipeline/../other"), "outside-file", "MLmodel"),
    Case("46 two pipelines", _second_pipeline, "two-pipelines", "model_index.json"),
    Case("no index", _remove("pipeline/model_index.json"), "no-pipeline"),
    Case("MLmodel is no YAML", _write("MLmodel", b"a: [1"), "bad-mlmodel"),
    Case("MLmodel is a bomb", _write("MLmodel", b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]"), "bad-mlmodel"),
    Case("MLmodel is a list", _write("MLmodel", b"- a"), "bad-mlmodel"),
    *(Case(name, spoil, _BAD, _UNET) for name, spoil in SAFETENSORS.items()),
]


def test_a_saved_pipeline_is_admitted(saved_once: Path) -> None:
    admitted = admit(saved_once)

    assert admitted.pipeline == "StableDiffusionPipeline"
    assert admitted.components["unet"] == "UNet2DConditionModel"
    assert _UNET in admitted.weight_files
    assert len(admitted.weight_files) == 3
    assert admitted.lineage["code_commit"] == "c0ffee"


def test_the_bare_folder_of_a_pipeline_is_admitted(saved_once: Path) -> None:
    assert admit(saved_once / "pipeline").lineage == {}


@pytest.mark.parametrize("case", FOLDERS, ids=lambda case: case.name)
def test_it_is_refused_with_its_code_and_the_file_named(saved: Path, case: Case) -> None:
    case.spoil(saved)

    with pytest.raises(ImprimaturError) as refusal:
        admit(saved)

    assert refusal.value.code == case.code, refusal.value.message
    if case.file:
        assert repr(case.file) in refusal.value.message or refusal.value.facts.get("file") == case.file
    assert not Path("/tmp/imprimatur-was-here").exists()  # noqa: S108


def test_there_are_sixty_ways_to_be_refused() -> None:
    assert len({case.name for case in FOLDERS}) == len(FOLDERS) >= 60


@pytest.mark.parametrize(
    ("dtype", "size"),
    {"F16": 2, "BF16": 2, "F32": 4, "F64": 8, "F8_E5M2": 1, "F8_E4M3": 1, "F8_E8M0": 1, "C64": 8}.items(),
)
def test_ordinary_weights_are_finite(saved: Path, dtype: str, size: int) -> None:
    header = {"a": {"dtype": dtype, "shape": [8 // size], "data_offsets": [0, 8]}}
    _tensors(header, b"\x01" * 8)(saved)

    assert _UNET in admit(saved).weight_files


def test_the_header_says_where_each_tensor_is(saved: Path) -> None:
    _tensors({"b": {**_F32, "data_offsets": [8, 16]}, "a": _F32, "__metadata__": {"format": "pt"}}, b"\0" * 16)(saved)

    tensors = read_header(saved / _WEIGHTS)

    assert [(tensor.name, tensor.end - tensor.begin) for tensor in tensors] == [("a", 8), ("b", 8)]
    assert tensors[-1].end == (saved / _WEIGHTS).stat().st_size


_ADMIT_AND_MEASURE = """
import re, sys, time
from pathlib import Path
from imprimatur.core.errors import ImprimaturError
from imprimatur.registry.admission import admit
from imprimatur.registry.outside import reads_card
from imprimatur.registry.parts import needs_of
begun = time.monotonic()
try:
    admit(Path(sys.argv[1]))
except ImprimaturError:
    print(time.monotonic() - begun, re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.parametrize(
    "spoil",
    [
        SAFETENSORS["14 100,000 empty tensors"],
        _tensors(b"[" + b"[]," * (5 << 20) + b"[]]"),
        _write("pipeline/tokenizer.json", b"[" + b"[]," * (12 << 20) + b"[]]"),
        _write("pipeline/tokenizer.json", b"[" + b"[]," * 1_990_000 + b"0"),
    ],
    ids=["tensors", "header", "vocabulary", "lists"],
)
def test_bombs_are_refused_within_five_seconds_and_512_mb(saved: Path, spoil: Callable[[Path], None]) -> None:
    spoil(saved)
    command = [sys.executable, "-c", _ADMIT_AND_MEASURE, str(saved)]

    seconds, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert float(seconds) < 5
    assert int(peak) < 512 << 10


def test_what_a_part_must_hold_follows_from_what_the_libraries_make_of_it() -> None:
    import diffusers
    import torch
    import transformers

    homes = {"diffusers": diffusers, "transformers": transformers}
    stock = [(library, name) for library, names in stock_classes().items() if library != "pipelines" for name in names]
    kinds = {
        name: getattr(homes.get(library) or getattr(diffusers.pipelines, library), name) for library, name in stock
    }

    weighty = {name for name in kinds if needs_of(name).weights}

    assert weighty == {name for name, kind in kinds.items() if issubclass(kind, torch.nn.Module)}


def test_pipelines_that_read_their_card_are_known() -> None:
    import diffusers

    kinds = {name: getattr(diffusers, name) for name in stock_classes()["pipelines"]}

    assert {name for name in kinds if reads_card(name)} == {
        name for name, kind in kinds.items() if getattr(kind, "_load_connected_pipes", False)
    }


def test_every_stock_class_is_one_that_the_libraries_bring() -> None:
    import diffusers
    import transformers

    classes = stock_classes()
    missing = [name for name in classes["pipelines"] | classes["diffusers"] if not hasattr(diffusers, name)]
    missing += [name for name in classes["transformers"] if not hasattr(transformers, name)]

    assert missing == []
