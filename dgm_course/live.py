"""A figure that is drawn anew while its sliders move: needs a kernel."""

from __future__ import annotations

import html
import importlib.util
import math
from collections.abc import Callable
from typing import Any

from .plots import image_tag, png
from .profile import is_static

STEPS = 200


def live(
    draw: Callable[..., Any], *, alt: str, **ranges: tuple[float, float]
) -> Any:
    """Show a figure whose parameters are free sliders.

    For what the frames of :func:`~dgm_course.player.explore` cannot offer: a
    continuous parameter, or two at once. Each slider starts in the middle of
    its range; the figure is drawn when a slider is let go. The alternative
    text also says where the sliders stand.

    The built book has no kernel (``DGM_STATIC=1``): it shows a line that says
    where the control works. ``draw`` runs once there too, so that a figure
    that cannot be drawn fails the build.

    Args:
        draw: Maps the parameters, by name, to a matplotlib figure.
        alt: What the figure shows, for those who do not see it.
        **ranges: Lowest and highest value of each parameter, such as
            ``scale=(0.1, 3.0)``.

    Returns:
        An object that shows itself in Jupyter, Colab and static HTML.

    Raises:
        ValueError: If there is no description or no range, or if a range is
            not two finite numbers in increasing order.
    """
    if not alt.strip():
        raise ValueError("alt is empty; say what the figure shows")
    if not ranges:
        raise ValueError(
            "no range is given; name each parameter of draw with its lowest "
            "and highest value, such as scale=(0.1, 3.0)"
        )
    for name, ends in ranges.items():
        if len(ends) != 2 or not -math.inf < ends[0] < ends[1] < math.inf:
            raise ValueError(
                f"{name}={ends!r} is no range; give its lowest and its highest "
                "value, such as (0.1, 3.0)"
            )
    if is_static() or importlib.util.find_spec("ipywidgets") is None:
        draw(**{name: (low + high) / 2 for name, (low, high) in ranges.items()})
        return _Line(list(ranges))
    return _widget(draw, alt, ranges)


class _Line:
    """What stands in place of the control where nothing can move it."""

    def __init__(self, names: list[str]) -> None:
        self.text = (
            f"*Live control* of {' and '.join(f'`{name}`' for name in names)}: "
            "it needs a running kernel. Open this chapter on Colab (the rocket "
            "above) or in JupyterLab."
        )

    def _repr_markdown_(self) -> str:
        return self.text


def _widget(
    draw: Callable[..., Any],
    alt: str,
    ranges: dict[str, tuple[float, float]],
) -> Any:
    from ipywidgets import HTML, FloatSlider, VBox

    picture = HTML()
    sliders = {
        name: FloatSlider(
            value=(low + high) / 2,
            min=low,
            max=high,
            step=(high - low) / STEPS,
            description=name,
            readout_format=".3g",
            style={"description_width": "initial"},
            continuous_update=False,  # else each pixel of a drag is a redraw
        )
        for name, (low, high) in ranges.items()
    }

    def frame() -> str:
        values = {name: slider.value for name, slider in sliders.items()}
        text = ", ".join(f"{name} = {v:.3g}" for name, v in values.items())
        return image_tag(png(draw(**values), dpi=96), f"{alt} Now {text}.")

    def redraw(_: Any) -> None:
        # Jupyter hides what a callback raises: show it where the figure was
        try:
            picture.value = frame()
        except Exception as error:
            message = html.escape(f"{type(error).__name__}: {error}")
            picture.value = f"<pre>{message}</pre>"

    for slider in sliders.values():
        slider.observe(redraw, names="value")
    picture.value = frame()
    return VBox([*sliders.values(), picture])
