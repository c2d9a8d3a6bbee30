"""Files are told apart by their bytes, and none that could run code is loaded or even kept."""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from imprimatur_evaluators.backbones import Catalogue, load
from imprimatur_evaluators.backbones.catalogue import Entry
from imprimatur_evaluators.backbones.formats import Format, format_of
from imprimatur_evaluators.backbones.state_dict import state_dict_of
from imprimatur_evaluators.errors import BadWeights

TENSORS = {
    "single": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "half": torch.arange(4).half(),
    "brain": torch.arange(4).bfloat16(),
    "double": torch.rand(3, dtype=torch.float64),
    "whole": torch.tensor(7),
    "flags": torch.tensor([True, False]),
    "none": torch.zeros(0, 3),
}


class Bomb:
    """A pickle that makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def _state(root: Path, file: Path) -> dict[str, torch.Tensor]:
    catalogue = Catalogue(root / "catalogue")
    entry = catalogue.add("any", file, {"architecture": "none"}, licence="CC0-1.0", source="test")
    return state_dict_of(entry, catalogue.read("any"))


@pytest.mark.parametrize("kind", ["safetensors", "archive", "old"])
def test_every_format_gives_back_the_same_tensors(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "weights"
    if kind == "safetensors":
        save_file(TENSORS, file, metadata={"format": "pt"})
    else:
        torch.save(OrderedDict(TENSORS), file, _use_new_zipfile_serialization=kind == "archive")
    assert format_of(file) is (Format.SAFETENSORS if kind == "safetensors" else Format.STATE_DICT)
    found = _state(tmp_path, file)
    assert set(found) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert found[name].dtype is tensor.dtype
        assert torch.equal(found[name], tensor)


def test_tensors_of_safetensors_are_views_of_the_verified_bytes(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(4)}, tmp_path / "w")
    catalogue = Catalogue(tmp_path / "catalogue")
    entry = catalogue.add("any", tmp_path / "w", {"architecture": "none"}, licence="CC0-1.0", source="test")
    data = catalogue.read("any")
    tensor = state_dict_of(entry, data)["w"]
    data[-4:] = np.float32(5).tobytes()
    assert tensor.tolist() == [0, 0, 0, 5]


@pytest.mark.parametrize("old", [False, True])
def test_a_pickle_that_calls_anything_else_is_refused_and_not_run(tmp_path: Path, old: bool) -> None:
    made = tmp_path / "made"
    torch.save({"w": torch.zeros(2), "bomb": Bomb(made)}, tmp_path / "w", _use_new_zipfile_serialization=not old)
    with pytest.raises(BadWeights, match="nothing was run") as caught:
        _state(tmp_path, tmp_path / "w")
    assert caught.value.code == "executable-weights"
    assert not made.exists()
    assert list((tmp_path / "catalogue").iterdir()) == []


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "w")
    with pytest.raises(BadWeights) as caught:
        format_of(tmp_path / "w")
    assert caught.value.code == "executable-weights"


def test_torchscript_is_refused_whatever_it_holds(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w", "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"model/{name}", pickle.dumps({}, protocol=2))
    with pytest.raises(BadWeights, match="TorchScript") as caught:
        format_of(tmp_path / "w")
    assert caught.value.code == "executable-weights"


def test_a_pickle_that_slipped_into_the_catalogue_is_refused_when_it_is_read(tmp_path: Path) -> None:
    made = tmp_path / "made"
    torch.save({"bomb": Bomb(made)}, tmp_path / "w")
    entry = Entry("any", "none", "sha256:0", "none", "none", tmp_path / "w", {}, Format.STATE_DICT)
    with pytest.raises(BadWeights) as caught:
        state_dict_of(entry, bytearray((tmp_path / "w").read_bytes()))
    assert caught.value.code == "executable-weights"
    assert not made.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>not found</html>",
        b"\x80\x04pickle",
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.rubbish",
        b"PK\x03\x04" + b"\0" * 40,
        (2).to_bytes(8, "little") + b"[]",
        (2**62).to_bytes(8, "little") + b"{}",
    ],
)
def test_anything_else_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(data)
    with pytest.raises(BadWeights) as caught:
        Catalogue(tmp_path / "weights").add("bad", path, {"architecture": "none"}, licence="none", source="none")
    assert caught.value.code == "unknown-format"
    assert Catalogue(tmp_path / "weights").entries() == []


@pytest.mark.parametrize("header", ['{"w":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}', '{"w":{"dtype":"F9"}}'])
def test_safetensors_that_state_more_than_they_hold_are_refused(tmp_path: Path, header: str) -> None:
    (tmp_path / "w").write_bytes(len(header).to_bytes(8, "little") + header.encode() + b"\0" * 8)
    with pytest.raises(BadWeights) as caught:
        _state(tmp_path, tmp_path / "w")
    assert caught.value.code == "weights-do-not-fit"


def test_tensors_under_a_key_that_is_not_there_are_told(tmp_path: Path) -> None:
    torch.save({"model": {"w": torch.zeros(2)}}, tmp_path / "w")
    catalogue = Catalogue(tmp_path / "catalogue")
    config = {"architecture": "hpsv2", "state_dict_key": "state_dict"}
    catalogue.add("any", tmp_path / "w", config, licence="none", source="none")
    with pytest.raises(BadWeights, match="state_dict") as caught:
        load("any", catalogue)
    assert caught.value.code == "weights-do-not-fit"
