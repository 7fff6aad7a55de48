"""Figures, shown source and sliders."""

import base64
import re
import sys

import pytest
import torch

from dgm_course import flows, plots
from dgm_course.history import History
from dgm_course.player import Player, explore


def picture():
    figure, axes = plots.subplots(size=(2, 1))
    axes.plot([0, 1])
    return figure


def test_figure_carries_its_description():
    shown = plots.show(picture(), 'rises "steeply"')._repr_mimebundle_()
    html = shown["text/html"]
    assert 'alt="rises &quot;steeply&quot;"' in html
    assert html.startswith('<img src="data:image/png;base64,iVBOR')
    # who cannot show HTML shows the picture, or says what is on it
    assert shown["image/png"] in html
    assert shown["text/plain"] == 'rises "steeply"'
    with pytest.raises(ValueError, match="alt is empty"):
        plots.show(picture(), " ")


def test_what_a_cell_draws_has_the_style_of_the_book():
    """Matplotlib looks these up after subplots() has returned."""
    _, axes = plots.subplots()
    (line,) = axes.plot([0, 1], label="a line")
    assert (line.get_color(), line.get_linewidth()) == (plots.COLORS[0], 1.6)
    assert axes.imshow([[0, 1]]).get_cmap().name == "cividis"
    assert not axes.legend().get_frame_on()


def test_source_is_the_library_code_without_docstrings():
    text = plots.show_source(flows.AffineCoupling).text
    assert text.startswith("# dgm_course/flows/realnvp.py\nclass Affine")
    assert '"""' not in text
    # shown code is complete: among its imports it defines the class again
    namespace = dict(vars(sys.modules[flows.AffineCoupling.__module__]))
    del namespace["AffineCoupling"]
    exec(text, namespace)
    torch.manual_seed(0)
    ours = flows.AffineCoupling(4, (8,))
    shown = namespace["AffineCoupling"](4, (8,))
    shown.load_state_dict(ours.state_dict())
    x = torch.randn(3, 4)
    torch.testing.assert_close(shown(x), ours(x))


def test_source_keeps_functions_that_are_only_a_docstring():
    text = plots.show_source(flows.Flow).text
    assert "class Flow" in text and "def forward" in text
    compile(text.split("\n", 1)[1], "shown", "exec")


def test_image_grid_shows_every_picture():
    images = torch.arange(5).view(5, 1, 1, 1) * torch.ones(5, 1, 3, 3) * 50
    figure = plots.image_grid(images, columns=3)
    drawn = figure.axes[0].images[0].get_array()
    assert drawn.shape == (2 * 5, 3 * 5)
    assert {round(v * 255) for v in set(drawn.flatten().tolist())} == {
        0, 50, 100, 150, 200, 255,
    }  # fmt: skip


def test_player_has_all_frames_and_labels():
    player = explore(
        lambda v: picture(), [0.1, 0.25], name="width", alt="a line"
    )
    assert isinstance(player, Player) and len(player.frames) == 2
    shown = player._repr_mimebundle_()
    html = shown["text/html"]
    assert shown["image/png"] == base64.b64encode(player.frames[1]).decode()
    assert shown["text/plain"] == "a line Here width = 0.25."
    assert html.count("data:image/png") == 1 + 2
    assert '"width = 0.25"' in html and 'max="1"' in html
    assert not re.search(r"https?://", html)
    assert shown == player._repr_mimebundle_()


def test_player_refuses_a_figure_without_description():
    with pytest.raises(ValueError, match="alt is empty"):
        explore(lambda value: None, [1], name="n", alt=" ")


def test_player_refuses_nothing_to_draw():
    with pytest.raises(ValueError, match="values is empty"):
        explore(lambda v: picture(), [], name="x", alt="y")
    with pytest.raises(ValueError, match="alt is empty"):
        explore(lambda v: picture(), [1], name="x", alt="")


def test_history_plots_both_curves_with_their_errors():
    history = History()
    for step in (1, 2, 3):
        history.loss.append(step, 3.0 - step, 0.1)
    history.validation.append(3, 1.0, 0.2)
    (axes,) = history.plot().axes
    assert [line.get_label() for line in axes.lines] == ["training", "held out"]
    assert len(axes.collections) == 2
