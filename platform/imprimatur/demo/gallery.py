"""A contact sheet of what the gateway served."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_TILE = 128
_MARGIN = 16
_CAPTION = 24
_COLUMNS = 5
_PAPER = "#ffffff"
_INK = "#1f2933"


def contact_sheet(images: Sequence[Path], captions: Sequence[str], title: str, target: Path) -> Path:
    """Write ``images`` in rows of five under ``title``, each with its caption, as one PNG at ``target``."""
    rows = -(-len(images) // _COLUMNS)
    width = _MARGIN + _COLUMNS * (_TILE + _MARGIN)
    top = _MARGIN + _CAPTION
    sheet = Image.new("RGB", (width, top + rows * (_TILE + _CAPTION + _MARGIN)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=13)
    draw.text((_MARGIN, _MARGIN - 4), title, fill=_INK, font=ImageFont.load_default(size=16))
    for index, (path, caption) in enumerate(zip(images, captions, strict=True)):
        left = _MARGIN + (index % _COLUMNS) * (_TILE + _MARGIN)
        upper = top + (index // _COLUMNS) * (_TILE + _CAPTION + _MARGIN)
        with Image.open(path) as image:
            sheet.paste(image.convert("RGB").resize((_TILE, _TILE), Image.Resampling.NEAREST), (left, upper))
        draw.text((left, upper + _TILE + 4), caption, fill=_INK, font=font)
    sheet.save(target)
    return target
