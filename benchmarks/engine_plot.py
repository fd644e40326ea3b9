"""The frontier of `benchmarks.engine` as one SVG: recall@10 against milliseconds; dots are as large as memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

WIDTH, HEIGHT, LEFT, BOTTOM, RIGHT, TOP = 960, 560, 70, 60, 250, 40
OURS, OTHERS = (
    ("#0b6e4f", "#08a045", "#6bbf59", "#1b998b", "#2d7dd2", "#3d5a80", "#0a9396"),
    ("#c1121f", "#e36414", "#fb8b24", "#9a031e", "#7f4f24", "#8338ec", "#b5179e", "#5f0f40"),
)
RECALLS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 1.0)
MISSING = 0.004  # what a recall of 1 is drawn as, for the axis is the logarithm of what is missing


def draw(path: Path, engines: Mapping[str, Mapping[str, Any]], size: str) -> None:
    """Write the plot.

    Args:
        path: the file.
        engines: results by name, as `benchmarks.engine.run` gives them.
        size: of the collection, for the title.

    """
    drawn = {name: engine for name, engine in engines.items() if engine.get("points")}
    times = [point["p50"] for engine in drawn.values() for point in engine["points"]]
    low, high = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))
    parts = [*_axes(low, high, size)]
    colours = {"ours": iter(OURS), "other": iter(OTHERS)}
    for number, (name, engine) in enumerate(drawn.items()):
        ours = name.startswith("ours")
        colour = next(colours["ours" if ours else "other"])
        points = _best(engine["points"])
        places = [(_x(point["recall"]), _y(point["p50"], low, high)) for point in points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        dash = "" if ours else ' stroke-dasharray="5 3"'
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.5"{dash}/>')
        radius = max(2.0, math.sqrt(engine["memory"]) / 4)
        for (x, y), point in zip(places, points, strict=True):
            told = f"{name}, {point['effort']}: recall {point['recall']:.3f}, {point['p50']:.2f} ms"
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{colour}" fill-opacity=".35" '
                f'stroke="{colour}"><title>{escape(told)}</title></circle>'
            )
        y = TOP + 12 + 30 * number
        parts.append(f'<circle cx="{WIDTH - RIGHT + 24}" cy="{y}" r="6" fill="{colour}"/>')
        parts.append(_text(WIDTH - RIGHT + 36, y + 1, name))
        parts.append(_text(WIDTH - RIGHT + 36, y + 13, f"{engine['memory']:,.0f} MiB", size=10))
    body = "\n".join(parts)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n{body}\n</svg>\n'
    )


def _best(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The efforts that no other one beats in recall and in time, by recall."""
    return sorted(
        (
            point
            for point in points
            if not any(other["recall"] >= point["recall"] and other["p50"] < point["p50"] for other in points)
        ),
        key=lambda point: point["recall"],
    )


def _axes(low: int, high: int, size: str) -> Iterator[str]:
    yield _text(LEFT, 22, f"{size}: recall@10 and the median time of a query; dots are as large as memory", size=14)
    for recall in RECALLS:
        x = _x(recall)
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" stroke="#ddd"/>'
        yield _text(x, HEIGHT - BOTTOM + 18, f"{recall:g}", anchor="middle")
    for power in range(low, high + 1):
        y = _y(10.0**power, low, high)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
        yield _text(LEFT - 8, y + 4, f"{10.0**power:g} ms", anchor="end")
    yield _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, "recall@10", anchor="middle")


def _x(recall: float) -> float:
    worst, best = math.log(1 - RECALLS[0]), math.log(MISSING)
    missing = math.log(min(1 - RECALLS[0], max(MISSING, 1 - recall)))
    return LEFT + (worst - missing) / (worst - best) * (WIDTH - RIGHT - LEFT)


def _y(ms: float, low: int, high: int) -> float:
    return HEIGHT - BOTTOM - (math.log10(ms) - low) / max(1, high - low) * (HEIGHT - BOTTOM - TOP)


def _text(x: float, y: float, text: str, *, size: int = 12, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="#222">{escape(text)}</text>'
