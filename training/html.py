"""Reports as one HTML file: the templates, and the plots and figures in them; a page loads nothing from anywhere."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Draw = Callable[[Any], None]


def page(template: str, **values: object) -> str:
    """A whole HTML document from a template of `training/templates` and what it shows."""
    return _environment.get_template(template).render(values)


def picture(draw: Draw, width: float = 9.0, height: float = 3.6, rows: int = 1) -> str:
    """A plot as PNG in base64, for the inside of a page.

    `draw` is given the axes, or the list of axes one above the other where there are several `rows`.
    """
    figure, axes = quiet_figure(width, height, 110, rows)
    draw(axes)
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return base64.b64encode(image.getvalue()).decode()


def quiet_figure(width: float, height: float, dpi: int, rows: int = 1) -> tuple[Figure, Any]:
    """A figure (inches) and its axes, a list where there are several rows: a light grid, no frame."""
    figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots(rows, 1, sharex=rows > 1)
    for one in axes if rows > 1 else [axes]:
        one.grid(True, color="#e4e7eb", lw=0.7)
        one.set_axisbelow(True)
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def share(value: float | None, digits: int = 1) -> str:
    """A share as text; a dash where it is not defined."""
    return "-" if value is None else f"{value:.{digits}%}"


def number(value: float | None, digits: int = 3) -> str:
    """A figure as text; a dash where it is not defined."""
    return "-" if value is None else f"{value:.{digits}f}"


def span(low: float | None, high: float | None) -> str:
    """An interval of shares as text; a dash where it is not defined."""
    return "-" if low is None else f"{share(low)} to {share(high)}"


_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= {"share": share, "number": number, "whole": "{:,}".format}
_environment.globals = {"span": span}  # instead of Jinja's own, which no template needs
