"""The control that redraws: widgets with a kernel, a line without."""

import math

import pytest

from dgm_course import plots
from dgm_course.live import live


@pytest.fixture
def draw():
    """A figure with two parameters that remembers how it was called."""

    def draw(scale, skew):
        draw.calls.append((scale, skew))
        if scale > 3:
            raise ValueError("scale > 3 & rising")
        figure, axes = plots.subplots(size=(2, 1))
        axes.plot([0, scale], [skew, 1])
        return figure

    draw.calls = []
    return draw


RANGES = {"scale": (0.0, 4.0), "skew": (-1.0, 1.0)}


@pytest.fixture
def box(draw, monkeypatch):
    monkeypatch.delenv("DGM_STATIC", raising=False)
    return live(draw, alt="A line.", **RANGES)


def test_starts_in_the_middle_of_each_range(box, draw):
    scale, skew, picture = box.children
    assert draw.calls == [(2.0, 0.0)]
    assert (scale.min, scale.max, scale.description) == (0, 4, "scale")
    assert (skew.min, skew.max, skew.description) == (-1, 1, "skew")
    assert 'alt="A line. Now scale = 2, skew = 0."' in picture.value


def test_each_slider_redraws_once_with_both_values(box, draw):
    scale, skew, picture = box.children
    first = picture.value
    scale.value = 0.5
    second = picture.value
    skew.value = -0.25
    assert draw.calls[1:] == [(0.5, 0.0), (0.5, -0.25)]
    assert 'alt="A line. Now scale = 0.5, skew = -0.25."' in picture.value
    sources = {v.split('"')[1] for v in (first, second, picture.value)}
    assert len(sources) == 3


def test_a_drag_asks_for_one_figure(box):
    """With continuous updates each pixel of a drag would be a redraw."""
    assert not any(slider.continuous_update for slider in box.children[:2])


def test_an_error_of_a_later_figure_is_shown_and_then_left(box):
    scale, _, picture = box.children
    scale.value = 3.5
    assert picture.value == "<pre>ValueError: scale &gt; 3 &amp; rising</pre>"
    scale.value = 1.0
    assert picture.value.startswith("<img ")


def test_the_built_book_draws_once_and_says_where_it_moves(draw, monkeypatch):
    monkeypatch.setenv("DGM_STATIC", "1")
    line = live(draw, alt="A line.", **RANGES)
    assert draw.calls == [(2.0, 0.0)]
    text = line._repr_markdown_()
    assert "`scale` and `skew`" in text and "kernel" in text
    with pytest.raises(ValueError, match="rising"):
        live(draw, alt="A line.", scale=(3.0, 9.0), skew=(0.0, 1.0))


def test_without_ipywidgets_the_notebook_still_runs(draw, monkeypatch):
    monkeypatch.delenv("DGM_STATIC", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "kernel" in live(draw, alt="A line.", **RANGES)._repr_markdown_()


@pytest.mark.parametrize("static", ["0", "1"])
@pytest.mark.parametrize(
    "ends", [(1.0,), (1.0, 1.0), (2.0, 1.0), (0.0, math.inf), (math.nan, 1.0)]
)
def test_refuses_what_is_no_range(draw, ends, static, monkeypatch):
    monkeypatch.setenv("DGM_STATIC", static)
    with pytest.raises(ValueError, match="is no range"):
        live(draw, alt="A line.", scale=(0.0, 1.0), skew=ends)
    assert not draw.calls


def test_refuses_a_figure_without_description_or_parameters(draw):
    with pytest.raises(ValueError, match="alt is empty"):
        live(draw, alt=" ", **RANGES)
    with pytest.raises(ValueError, match="no range is given"):
        live(draw, alt="A line.")
