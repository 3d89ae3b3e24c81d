"""Latency against throughput as an SVG: a line for each setting, a point for each number of requests in flight."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

__all__ = ["draw"]

Point = tuple[float, float]  # requests per second, median in ms

WIDTH, HEIGHT = 460, 330
LEFT, TOP, RIGHT, BOTTOM = 56, 34, 16, 46
GAP = 20
OURS = ("#0b6e4f", "#5fb49c")
PEERS = ("#9d0208", "#d00000", "#dc6f0f", "#e8a33d", "#7b2d8b", "#5a4fcf", "#2274a5", "#4d4d4d")
LEGEND = 16  # pixels of a line


def draw(panels: Mapping[str, Mapping[str, Sequence[Point]]], ours: int) -> str:
    """A panel for each graph. The first `ours` names of a panel are inferloom's.

    Args:
        panels: title -> name -> points, in the order in which they are joined.
    """
    points = [point for lines in panels.values() for line in lines.values() for point in line]
    across = _decades([rate for rate, _ in points])
    up = _decades([time for _, time in points])
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    colours = dict(zip(names, (*OURS[:ours], *PEERS), strict=False))
    height = HEIGHT + LEGEND * math.ceil(len(names) / 2) + 12
    whole = len(panels) * WIDTH + (len(panels) - 1) * GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {whole} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{whole}" height="{height}" fill="#ffffff"/>',
    ]
    for number, (title, lines) in enumerate(panels.items()):
        parts.append(f'<g transform="translate({number * (WIDTH + GAP)} 0)">')
        parts += _panel(title, lines, colours, across, up)
        parts.append("</g>")
    for number, name in enumerate(names):
        x, y = LEFT + (number % 2) * whole / 2, HEIGHT + 8 + LEGEND * (number // 2)
        parts.append(f'<path d="M{x} {y}h22" stroke="{colours[name]}" stroke-width="2.5"/>')
        parts.append(f'<text x="{x + 28}" y="{y + 4}" fill="#222222">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(
    title: str,
    lines: Mapping[str, Sequence[Point]],
    colours: Mapping[str, str],
    across: tuple[int, int],
    up: tuple[int, int],
) -> list[str]:
    def x(rate: float) -> float:
        return LEFT + (math.log10(rate) - across[0]) / (across[1] - across[0]) * (WIDTH - LEFT - RIGHT)

    def y(time: float) -> float:
        return HEIGHT - BOTTOM - (math.log10(time) - up[0]) / (up[1] - up[0]) * (HEIGHT - TOP - BOTTOM)

    low, high = HEIGHT - BOTTOM, TOP
    parts = [f'<text x="{LEFT}" y="18" font-size="13" fill="#222222">{escape(title)}</text>']
    for power in range(across[0], across[1] + 1):
        at = x(10**power)
        parts.append(f'<path d="M{at:.1f} {low}V{high}" stroke="#dddddd"/>')
        parts.append(f'<text x="{at:.1f}" y="{low + 15}" text-anchor="middle" fill="#444444">{10**power:,}</text>')
    for power in range(up[0], up[1] + 1):
        at = y(10**power)
        parts.append(f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end" fill="#444444">{10.0**power:g}</text>')
    parts.append(f'<text x="{LEFT}" y="{low + 32}" fill="#444444">requests per second; 1, 16 and 64 in flight</text>')
    parts.append(f'<text x="8" y="{high - 6}" fill="#444444">median, ms</text>')
    for name, line in lines.items():
        drawn = [(x(rate), y(time)) for rate, time in line]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in drawn)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colours[name]}" stroke-width="2"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.2" fill="{colours[name]}"/>' for a, b in drawn]
    return parts


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """The powers of ten around them."""
    low = math.floor(math.log10(min(values)))
    return low, max(math.ceil(math.log10(max(values))), low + 1)
