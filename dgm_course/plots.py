"""One look for all figures, and library code shown as it is."""

from __future__ import annotations

import ast
import base64
import html
import inspect
import io
import textwrap
from typing import Any

# Okabe and Ito (2008): eight colours that colour-blind readers tell apart
COLORS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#F0E442",
)


def style() -> None:
    """Make the book's settings those of matplotlib, as a style sheet does.

    They stay: line widths, colour maps and legends are looked up when a cell
    draws, after :func:`subplots` has returned.
    """
    import matplotlib as mpl
    from cycler import cycler

    mpl.rcParams.update(
        {
            "axes.prop_cycle": cycler(color=COLORS),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 10,
            "figure.facecolor": "white",
            "figure.constrained_layout.use": True,
            "font.size": 9,
            "image.cmap": "cividis",
            "legend.frameon": False,
            "lines.linewidth": 1.6,
        }
    )


def subplots(
    rows: int = 1,
    cols: int = 1,
    size: tuple[float, float] = (6.5, 3.0),
    **kw: Any,
) -> tuple[Any, Any]:
    """Create a figure in the book's style, like ``plt.subplots``.

    Args:
        rows: Rows of axes.
        cols: Columns of axes.
        size: Width and height in inches.
        **kw: Passed on to ``matplotlib.figure.Figure.subplots``.

    Returns:
        The figure and its axes. The figure does not show itself: pass it to
        :func:`show` with a description.
    """
    from matplotlib.figure import Figure

    style()
    figure = Figure(figsize=size)
    return figure, figure.subplots(rows, cols, **kw)


def png(figure: Any, dpi: int = 144) -> bytes:
    """Render a matplotlib figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def image_tag(data: bytes, alt: str, width: float | None = None) -> str:
    """Return an ``<img>`` element with the picture inside and its alt text.

    Args:
        data: A PNG file.
        alt: What the picture shows, for those who do not see it.
        width: Width in CSS pixels; None keeps the picture's own.

    Raises:
        ValueError: If ``alt`` is empty.
    """
    if not alt.strip():
        raise ValueError(
            "alt is empty; describe in a sentence what the figure shows"
        )
    source = base64.b64encode(data).decode()
    size = "" if width is None else f"width:{width:.0f}px;"
    return (
        f'<img src="data:image/png;base64,{source}" '
        f'alt="{html.escape(alt)}" style="{size}max-width:100%">'
    )


def described(page: str, data: bytes, alt: str) -> dict[str, Any]:
    """The same figure for readers of HTML, of pictures and of text alone.

    Args:
        page: HTML.
        data: A PNG file.
        alt: What the picture shows.
    """
    picture = base64.b64encode(data).decode()
    return {"text/html": page, "image/png": picture, "text/plain": alt}


class show:  # noqa: N801 - reads as a verb in a cell
    """Show a figure with its description, as the last line of a cell."""

    def __init__(self, figure: Any, alt: str) -> None:
        self.alt, self.data = alt, png(figure)
        self._html = image_tag(self.data, alt, 96 * figure.get_figwidth())

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return described(self._html, self.data, self.alt)


def image_grid(images: Any, columns: int = 10, title: str = "") -> Any:
    """Tile pictures (N, C, H, W) or (N, H, W) into one figure.

    Args:
        images: Tensor of grey (C = 1) or RGB (C = 3) pictures, in [0, 255].
        columns: Pictures per row; the last row is filled with white.
        title: Title of the figure.
    """
    import torch

    images = images.detach().cpu().float().clamp(0, 255) / 255
    if images.ndim == 3:
        images = images[:, None]
    n, c, h, w = images.shape
    rows = -(-n // columns)
    canvas = torch.ones(rows * columns, c, h + 2, w + 2)
    canvas[:n, :, 1:-1, 1:-1] = images
    canvas = canvas.view(rows, columns, c, h + 2, w + 2)
    tiled = canvas.permute(0, 3, 1, 4, 2).reshape(rows * (h + 2), -1, c)
    figure, axes = subplots(size=(0.62 * columns, 0.62 * rows + 0.3))
    axes.imshow(tiled.squeeze(-1).numpy(), cmap="gray", vmin=0, vmax=1)
    axes.set_axis_off()
    axes.set_title(title)
    return figure


def density_2d(
    axes: Any, log_prob: Any, box: float = 4.0, n: int = 120
) -> None:
    """Draw a 2-D density on a square [-box, box]^2 as filled colours.

    Args:
        axes: Matplotlib axes.
        log_prob: Maps points (N, 2) to log-densities in nats, (N,).
        box: Half the side of the square.
        n: Points per axis.
    """
    import torch

    ticks = torch.linspace(-box, box, n)
    grid = torch.cartesian_prod(ticks, ticks)
    with torch.no_grad():
        density = log_prob(grid).exp().view(n, n).T
    axes.pcolormesh(ticks, ticks, density, shading="nearest", rasterized=True)
    axes.set_aspect("equal")


class show_source:  # noqa: N801
    """Show the code of library objects, without their docstrings.

    What the reader sees is what runs: the text comes from the installed
    module.
    """

    def __init__(self, *objects: Any) -> None:
        parts = []
        for thing in objects:
            module = thing.__module__.replace(".", "/")
            code = _without_docstrings(
                textwrap.dedent(inspect.getsource(thing))
            )
            parts.append(f"# {module}.py\n{code}")
        self.text = "\n\n".join(parts)

    def _repr_markdown_(self) -> str:
        return f"```python\n{self.text}\n```"


def _without_docstrings(source: str) -> str:
    """Drop docstrings and the blank line after each, keep all else."""
    lines: list[str | None] = list(source.splitlines())
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef):
            continue
        if ast.get_docstring(node) is None or len(node.body) == 1:
            continue
        first, last = node.body[0].lineno - 1, node.body[0].end_lineno or 0
        lines[first:last] = [None] * (last - first)
        if lines[last] == "":
            lines[last] = None
    return "\n".join(line for line in lines if line is not None)
