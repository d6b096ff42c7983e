"""Reports as one HTML file: tables and pictures inside it, nothing loaded from anywhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; max-width: 1080px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p.notice { background: #fff8e6; border-left: 4px solid #c27803; padding: .6rem .9rem; }
table { border-collapse: collapse; margin: .6rem 0 1.2rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: #52606d; padding-bottom: .3rem; }
th, td { padding: .25rem .8rem .25rem 0; border-bottom: 1px solid #e4e7eb; text-align: right; }
th:first-child, td:first-child { text-align: left; }
img { max-width: 100%; height: auto; }
"""
Draw = Callable[[Any], None]


def page(title: str, parts: Sequence[str]) -> str:
    """A whole HTML document."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>\n<h1>{escape(title)}</h1>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def heading(text: str) -> str:
    """A section begins."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str, notice: bool = False) -> str:
    """A paragraph; a notice is one that must not be overlooked."""
    return f'<p class="notice">{escape(text)}</p>' if notice else f"<p>{escape(text)}</p>"


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """A table; the first column is words, the others are figures."""
    head = "".join(f'<th scope="col">{escape(c)}</th>' for c in columns)
    body = "".join("<tr>" + "".join(f"<td>{escape(v)}</td>" for v in row) + "</tr>" for row in rows)
    caption_line = f"<caption>{escape(caption)}</caption>" if caption else ""
    return f"<table>{caption_line}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def picture(draw: Draw, says: str, width: float = 9.0, height: float = 3.6, rows: int = 1) -> str:
    """A plot as an image inside the page; `says` tells those who do not see it what it shows.

    `draw` is given the axes, or the list of axes one above the other where there are several `rows`.
    """
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots(rows, 1, sharex=rows > 1)
    for one in axes if rows > 1 else [axes]:
        plain(one)
    draw(axes)
    image = io.BytesIO()
    figure.savefig(image, format="png")
    data = base64.b64encode(image.getvalue()).decode()
    return f'<img alt="{escape(says)}" src="data:image/png;base64,{data}">'


def plain(axes: Axes) -> None:
    """Quiet axes: a light grid, no frame."""
    axes.grid(True, color="#e4e7eb", lw=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def share(value: float | None, digits: int = 1) -> str:
    """A share as text; a dash where it is not defined."""
    return "-" if value is None else f"{value:.{digits}%}"
