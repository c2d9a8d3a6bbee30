"""Lines that are whole or not there, and images that are kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imprimatur.core.errors import Unavailable
from imprimatur.serving.spool import Served, Spool, image_path, read_lines, spool_files
from signed_bundles import Hands

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SERVED = Served(
    id="img-1",
    at=NOW,
    model="digits",
    version=1,
    manifest_digest="sha256:" + "a" * 64,
    environment="production",
    prompt="a digit",
    seed=7,
    seconds=0.25,
    device="cpu",
    images=1,
    client="webshop",
    team="shop",
    image=None,
)


def _spool(root: Path, *, share: float = 1.0, per_minute: int = 100) -> Spool:
    return Spool(root, Hands(NOW), share=share, per_minute=per_minute)


@given(st.text(max_size=50).filter(lambda text: "\0" not in text), st.integers(0, 2**53), st.floats(0, 1e6))
def test_a_line_is_read_as_it_was_written(prompt: str, seed: int, seconds: float) -> None:
    served = replace(SERVED, prompt=prompt, seed=seed, seconds=seconds)
    assert served.line().count(b"\n") == 1
    assert Served.parse(served.line()) == served


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"{}\n",
        SERVED.line()[:40],
        SERVED.line().replace(b"0.25", b"NaN"),
        SERVED.line().replace(b"0.25", b"-1"),
        SERVED.line().replace(b"0.25", b'"0.25"'),
        SERVED.line().replace(b"sha256:", b"md5:"),
        SERVED.line().replace(b'"seed"', b'"sead"'),
        SERVED.line().replace(b".000000Z", b""),
        SERVED.line().replace(b"a digit", b"a\\u0000digit"),
    ],
)
def test_what_is_no_record_is_not_read_as_one(line: bytes) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Served.parse(line)


def test_lines_are_read_once_from_where_the_last_reading_ended(tmp_path: Path) -> None:
    spool = _spool(tmp_path)
    for number in range(3):
        spool.append(replace(SERVED, id=f"img-{number}"))
    (name,) = spool_files(tmp_path)
    first = read_lines(tmp_path, name, 0, 2)
    spool.append(replace(SERVED, id="img-3"))
    rest = read_lines(tmp_path, name, first[-1].end, 10)
    assert [Served.parse(line.data).id for line in [*first, *rest]] == ["img-0", "img-1", "img-2", "img-3"]
    assert read_lines(tmp_path, name, rest[-1].end, 10) == []


def test_a_torn_line_is_not_read_until_it_is_whole(tmp_path: Path) -> None:
    line = SERVED.line()
    path = tmp_path / "20261123-gw-1.jsonl"
    path.write_bytes(line + line[:50])
    (found,) = read_lines(tmp_path, path.name, 0, 10)
    with path.open("ab") as stream:
        stream.write(line[50:])
    assert len(read_lines(tmp_path, path.name, found.end, 10)) == 1


def test_two_gateways_write_to_files_of_their_own(tmp_path: Path) -> None:
    for spool in (_spool(tmp_path), _spool(tmp_path)):
        spool.append(SERVED)
    assert len(spool_files(tmp_path)) == 2


def test_so_many_images_a_minute_are_kept_and_no_more(tmp_path: Path) -> None:
    hands = Hands(NOW)
    spool = Spool(tmp_path, hands, share=1.0, per_minute=2)
    assert [spool.wants_image() for _ in range(4)] == [True, True, False, False]
    hands.forward(minutes=1)
    assert spool.wants_image()


def test_a_share_of_none_keeps_none(tmp_path: Path) -> None:
    spool = _spool(tmp_path, share=0.0)
    assert not any(spool.wants_image() for _ in range(50))


def test_a_kept_image_is_found_under_its_path(tmp_path: Path) -> None:
    relative = _spool(tmp_path).keep_image("img-1", b"png")
    assert image_path(tmp_path, relative).read_bytes() == b"png"
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize("relative", ["../x.png", "/etc/passwd", "images/../../x.png", "x.png"])
def test_a_path_that_leads_out_of_the_images_is_refused(tmp_path: Path, relative: str) -> None:
    with pytest.raises(ValueError, match="leads out"):
        image_path(tmp_path, relative)


def test_a_spool_that_can_not_be_written_refuses(tmp_path: Path) -> None:
    blocked = tmp_path / "served"
    blocked.write_text("in the way")
    with pytest.raises(Unavailable) as refused:
        _spool(blocked).append(SERVED)
    assert refused.value.code == "spool-unwritable"
    with pytest.raises(Unavailable):
        _spool(blocked).keep_image("img-1", b"png")
