"""Plots as SVG: bars with intervals, and lines. Black on white, readable without colour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

COLOURS = ("#0b6e4f", "#c1121f", "#2d7dd2", "#e36414", "#6a4c93", "#3d5a80", "#7f4f24", "#0a9396")
DASHES = ("", "6 3", "2 2", "8 3 2 3")
LEFT, WIDTH, ROW, TOP = 190, 640, 26, 44
HEIGHT = 320

Bar = tuple[str, float, float, float]
"""Label, value, and the ends of its interval."""


def bar_plot(title: str, bars: Sequence[Bar], *, marks: Sequence[float | None] = (), low: float = 0.0) -> str:
    """Horizontal bars from `low` with their intervals; a mark is a reference value of a bar, such as chance."""
    known = [mark for mark in marks if mark is not None]
    highest = max([0.0, *(high for *_, high in bars), *known])
    lowest = min([low, *(bar_low for _, _, bar_low, _ in bars), *known])
    span = (highest - lowest) or 1.0

    def x(value: float) -> float:
        return LEFT + (value - lowest) / span * WIDTH

    parts = [_text(8, 20, title, size=14), *_ticks(lowest, highest, x(lowest), x(highest), TOP + ROW * len(bars))]
    for number, (label, value, bar_low, bar_high) in enumerate(bars):
        y = TOP + ROW * number
        left, right = sorted((x(max(low, lowest)), x(value)))
        parts.append(_text(LEFT - 8, y + 13, label, anchor="end"))
        told = escape(f"{label}: {value:.3f}, {bar_low:.3f} to {bar_high:.3f}")
        parts.append(
            f'<rect x="{left:.1f}" y="{y + 3}" width="{right - left:.1f}" height="14" fill="{COLOURS[0]}" '
            f'fill-opacity=".55"><title>{told}</title></rect>'
        )
        parts.append(f'<path d="M{x(bar_low):.1f} {y + 10}H{x(bar_high):.1f}" stroke="black" stroke-width="1.5"/>')
        if number < len(marks) and (mark := marks[number]) is not None:
            parts.append(f'<path d="M{x(mark):.1f} {y}V{y + 20}" stroke="{COLOURS[1]}" stroke-dasharray="3 2"/>')
    return _svg(LEFT + WIDTH + 40, TOP + ROW * len(bars) + 36, parts)


def line_plot(title: str, xs: Sequence[float], lines: Mapping[str, Sequence[float]], x_label: str) -> str:
    """Lines over a common x axis, from 0 to the largest value."""
    highest = max([1e-9, *(value for ys in lines.values() for value in ys)])
    lowest = min([0.0, *(value for ys in lines.values() for value in ys)])
    lowest = lowest if lowest < -1e-3 * highest else 0.0
    first, last = min(xs), max(xs)
    left, bottom = 60, TOP + HEIGHT

    def place(x: float, y: float) -> str:
        across = left + (x - first) / ((last - first) or 1) * WIDTH
        return f"{across:.1f},{bottom - (y - lowest) / ((highest - lowest) or 1) * HEIGHT:.1f}"

    parts = [
        _text(8, 20, title, size=14),
        f'<path d="M{left} {TOP}V{bottom}H{left + WIDTH}" fill="none" stroke="#888"/>',
    ]
    for share, value in ((0.0, lowest), (0.5, (lowest + highest) / 2), (1.0, highest)):
        parts += [_text(left - 6, bottom - share * HEIGHT + 4, f"{value:.2g}", anchor="end")]
    parts += [_text(left, bottom + 16, f"{first:g}"), _text(left + WIDTH, bottom + 16, f"{last:g}", anchor="end")]
    parts += [_text(left + WIDTH / 2, bottom + 16, x_label, anchor="middle")]
    for number, (name, ys) in enumerate(lines.items()):
        stroke = f'stroke="{COLOURS[number % len(COLOURS)]}" stroke-dasharray="{DASHES[number % len(DASHES)]}"'
        points = " ".join(place(x, y) for x, y in zip(xs, ys, strict=True))
        y = TOP + 18 * number
        parts += [
            f'<polyline points="{points}" fill="none" stroke-width="2" {stroke}/>',
            f'<path d="M{left + WIDTH + 12} {y}h24" stroke-width="2" {stroke}/>',
            _text(left + WIDTH + 42, y + 4, name),
        ]
    return _svg(left + WIDTH + 240, bottom + 30, parts)


def _ticks(low: float, high: float, x_low: float, x_high: float, y: float) -> Iterator[str]:
    yield f'<path d="M{x_low:.1f} {y + 2}H{x_high:.1f}" stroke="#888"/>'
    for step in range(5):
        share = step / 4
        yield _text(x_low + share * (x_high - x_low), y + 18, f"{low + share * (high - low):.2g}", anchor="middle")


def _text(x: float, y: float, text: str, *, size: int = 12, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(width: float, height: float, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" font-family="sans-serif">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )
