"""What notebooks show of objects: tables, small images and curves, of text alone.

Whatever comes as text is escaped, sizes are bounded, and no library of pictures is needed.
"""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from xpnet.arrays import HostArray
from xpnet.checks import plain

__all__ = ["cell", "curve", "image", "pixels", "side_by_side", "table"]

LONGEST = 80
"""The characters of a cell that are shown."""

COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728")
"""Of curves, in order."""


def cell(value: Any) -> str:
    """Return how a table shows a value: numbers in a few digits, nothing for None."""
    value = plain(value)
    if isinstance(value, float):
        return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"
    return "" if value is None else str(value)


def table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "", left: int = 1
) -> str:
    """Return a table whose first columns, ``left`` of them, stand at the left."""
    lines = [_row("th", titles, left), *(_row("td", row, left) for row in rows)]
    look = 'style="text-align:left;white-space:nowrap"'
    above = f"<caption {look}>{_short(caption)}</caption>" if caption else ""
    return f"<table>{above}{''.join(lines)}</table>"


def _row(tag: str, cells: Sequence[str], left: int) -> str:
    made = (
        f'<{tag} style="white-space:nowrap;text-align:{"left" if k < left else "right"}">'
        f"{_short(text)}</{tag}>"
        for k, text in enumerate(cells)
    )
    return f"<tr>{''.join(made)}</tr>"


def _short(text: str) -> str:
    return escape(text if len(text) <= LONGEST else f"{text[: LONGEST - 4]} ...")


def side_by_side(parts: Iterable[str]) -> str:
    """Return parts of a page in a row, which goes on below where it is full."""
    inner = "".join(f'<div style="margin:4px">{part}</div>' for part in parts)
    return f'<div style="display:flex;flex-wrap:wrap;align-items:flex-start">{inner}</div>'


def image(pixels: HostArray, words: str = "", size: int = 56) -> str:
    """Return an image with words below it.

    Parameters
    ----------
    pixels : array of uint8, shape (h, w) or (h, w, 3)
        Grey, or red, green and blue; of more than 64 a side some rows and columns are left out.
    size : int
        On the page, in its pixels.
    """
    step = -(-max(pixels.shape[:2]) // 64)
    data = base64.b64encode(_png(pixels[::step, ::step])).decode()
    return (
        f'<div style="text-align:center;font-size:smaller"><img alt="" '
        f'style="height:{size}px;image-rendering:pixelated" src="data:image/png;base64,{data}">'
        f"<br>{_short(words)}</div>"
    )


def _png(pixels: HostArray) -> bytes:
    """Return pixels as a file of Portable Network Graphics (ISO/IEC 15948)."""
    height, width = pixels.shape[:2]
    kind = 0 if pixels.ndim == 2 else 2
    header = struct.pack(">2I5B", width, height, 8, kind, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)  # 0: bytes as they are, unfiltered
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def pixels(images: HostArray) -> HostArray | None:
    """Return images as bytes, (n, h, w) or (n, h, w, 3), or None where they are no images.

    Parameters
    ----------
    images : array, shape (n, h, w), (n, 1, h, w) or (n, 3, h, w)
        Bytes are kept; other real numbers are brought from their least to their most.
    """
    grey, coloured = images.ndim == 3, images.ndim == 4 and images.shape[1] == 3
    if not (grey or coloured or (images.ndim == 4 and images.shape[1] == 1)):
        return None
    if images.dtype.kind not in "biuf" or not images.size:
        return None
    shown = images if grey else images.transpose(0, 2, 3, 1) if coloured else images[:, 0]
    if shown.dtype.str != "|u1":
        numbers = shown.astype("f8")
        low, high = numbers.min(), numbers.max()
        if not (math.isfinite(low) and math.isfinite(high)):
            return None
        shown = ((numbers - low) * (255 / (high - low or 1))).round().astype("u1")
    return shown


def curve(title: str, lines: Mapping[str, Sequence[Any]]) -> str:
    """Return curves of one number an epoch as a drawing; nothing where there is none to draw.

    Parameters
    ----------
    title : str
    lines : mapping of str to sequence
        What is no finite number is a gap.
    """
    numbers = {label: [_number(y) for y in line] for label, line in lines.items()}
    numbers = {label: line for label, line in numbers.items() if set(line) != {None}}
    finite = [y for line in numbers.values() for y in line if y is not None]
    if not finite:
        return ""
    low, high = min(finite), max(finite)
    drawn, legend = [], []
    for (label, line), colour in zip(numbers.items(), COLOURS, strict=False):
        drawn += [_path(part, colour) for part in _parts(line, low, high)]
        legend.append(f'<tspan fill="{colour}">{_short(label)}</tspan>')
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="280" height="170" '
        'font-family="sans-serif" font-size="11" fill="currentColor">'
        f'<text x="48" y="14">{_short(title)}: {" ".join(legend)}</text>'
        '<rect x="48" y="22" width="222" height="126" fill="none" stroke="#999"/>'
        f'<text x="44" y="32" text-anchor="end">{high:.3g}</text>'
        f'<text x="44" y="147" text-anchor="end">{low:.3g}</text>'
        f'<text x="159" y="164" text-anchor="middle">epoch</text>{"".join(drawn)}</svg>'
    )


def _number(y: Any) -> float | None:
    """Return a finite number; None for all else."""
    y = plain(y)
    return y if isinstance(y, (int, float)) and math.isfinite(y) else None


def _parts(line: Sequence[float | None], low: float, high: float) -> list[list[str]]:
    """Return the places of a line's points, a list for each part without a gap."""
    parts: list[list[str]] = [[]]
    for k in range(0, len(line), max(1, len(line) // 300)):
        y = line[k]
        if y is None:
            parts.append([])
            continue
        across = k / (len(line) - 1) if len(line) > 1 else 0.5
        up = (y - low) / (high - low) if high > low else 0.5
        parts[-1].append(f"{54 + 210 * across:.1f},{142 - 114 * up:.1f}")
    return [part for part in parts if part]


def _path(points: list[str], colour: str) -> str:
    if len(points) == 1:
        x, y = points[0].split(",")
        return f'<circle cx="{x}" cy="{y}" r="2.5" fill="{colour}"/>'
    places = " ".join(points)
    return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="1.6"/>'
