"""The same inputs through the training: a row of tiles for each step, or small scatter plots."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ganmodels.rendering import as_png
from ganmodels.spaces import ImageSpace, Space

MOST_STEPS = 12
# As ``ganmodels.rendering.grid`` draws previews.
_PREVIEW_PADDING = 2
_MOST_TILES = 16
_SMALLEST_TILE, _LARGEST_TILE = 64, 96
_PLOT, _PLOT_COLUMNS = 240, 4
# Decoding previews of large images takes time and memory, so fewer of them are shown.
_MOST_PIXELS = 50_000_000
_MARGIN, _GAP, _LABEL, _FONT = 14, 4, 112, 15
_HEAD = 22
_INK, _FRAME = "#333333", "#dddddd"


def filmstrip_png(previews: Mapping[int, Path], space: Space) -> bytes | None:
    """The filmstrip as PNG; None where there are no previews yet."""
    return as_png(filmstrip(previews, space)) if previews else None


def filmstrip(previews: Mapping[int, Path], space: Space) -> Image.Image:
    """A picture of previews (by step, at least one) of at most ``MOST_STEPS`` steps."""
    if isinstance(space, ImageSpace):
        return _rows(_read(previews, space.height), space)
    return _plots(_read(previews, None))


def choose_steps(steps: Sequence[int], most: int) -> list[int]:
    """Evenly spread, with the first and the last; ``most`` is 2 or more."""
    ordered = sorted(steps)
    if len(ordered) <= most:
        return ordered
    places = {round(index * (len(ordered) - 1) / (most - 1)) for index in range(most)}
    return [ordered[place] for place in sorted(places)]


def _read(previews: Mapping[int, Path], rows: int | None) -> list[tuple[int, Image.Image]]:
    """As many steps as may be shown, and of each preview as many rows of pixels; None is all."""
    steps = sorted(previews)
    with Image.open(previews[steps[0]]) as first:
        width, height = first.size
    most = max(2, min(MOST_STEPS, _MOST_PIXELS // (width * height)))
    return [(step, _on_white(previews[step], rows)) for step in choose_steps(steps, most)]


def _on_white(path: Path, rows: int | None) -> Image.Image:
    with Image.open(path) as opened:
        # A copy: what was read of the rest is let go.
        image = opened.crop((0, 0, opened.width, rows or opened.height))
        if image.mode not in ("LA", "RGBA"):
            return image.convert("RGB")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")


def _rows(frames: list[tuple[int, Image.Image]], space: ImageSpace) -> Image.Image:
    columns = (frames[0][1].width + _PREVIEW_PADDING) // (space.width + _PREVIEW_PADDING)
    columns = max(1, min(columns, _MOST_TILES))
    width, height = _tile_size(space)
    row = height + _GAP
    canvas = _canvas(_LABEL + columns * (width + _GAP) - _GAP, _HEAD + len(frames) * row - _GAP)
    _write(canvas, _MARGIN + _LABEL - 12, _MARGIN + _FONT // 2, "step", anchor="rm")
    for index, (step, frame) in enumerate(frames):
        top = _MARGIN + _HEAD + index * row
        _write(canvas, _MARGIN + _LABEL - 12, top + height // 2, f"{step:,}", anchor="rm")
        for column in range(columns):
            left = column * (space.width + _PREVIEW_PADDING)
            tile = frame.crop((left, 0, left + space.width, space.height))
            place = (_MARGIN + _LABEL + column * (width + _GAP), top)
            canvas.paste(_scaled(tile, (width, height)), place)
    return canvas


def _plots(frames: list[tuple[int, Image.Image]]) -> Image.Image:
    columns = min(_PLOT_COLUMNS, len(frames))
    cell = _PLOT + 2 * _FONT
    canvas = _canvas(columns * (_PLOT + _GAP) - _GAP, math.ceil(len(frames) / columns) * cell)
    for index, (step, frame) in enumerate(frames):
        row, column = divmod(index, columns)
        left, top = _MARGIN + column * (_PLOT + _GAP), _MARGIN + row * cell
        _write(canvas, left, top + _FONT // 2, f"step {step:,}", anchor="lm")
        upper = top + _FONT + 4
        canvas.paste(_scaled(frame, (_PLOT, _PLOT)), (left, upper))
        frame_box = (left, upper, left + _PLOT - 1, upper + _PLOT - 1)
        ImageDraw.Draw(canvas).rectangle(frame_box, outline=_FRAME)
    return canvas


def _tile_size(space: ImageSpace) -> tuple[int, int]:
    """Whole multiples of small images, so that every pixel stays a square; large ones shrink."""
    longest = max(space.width, space.height)
    if longest > _LARGEST_TILE:
        factor = _LARGEST_TILE / longest
        return max(1, round(space.width * factor)), max(1, round(space.height * factor))
    times = max(1, round(_SMALLEST_TILE / longest))
    return space.width * times, space.height * times


def _scaled(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    is_larger = size[0] > image.width
    return image.resize(size, Image.Resampling.NEAREST if is_larger else Image.Resampling.BOX)


def _canvas(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width + 2 * _MARGIN, height + 2 * _MARGIN), "white")


def _write(canvas: Image.Image, left: float, middle: float, text: str, anchor: str) -> None:
    font = ImageFont.load_default(_FONT)
    ImageDraw.Draw(canvas).text((left, middle), text, fill=_INK, font=font, anchor=anchor)
