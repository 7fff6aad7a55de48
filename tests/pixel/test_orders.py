"""Recurrence over lines of a picture, and pixels drawn in groups."""

import sys

import pytest
import torch
import torch.nn.functional as F
from support.pixel import sight

from dgm_course.likelihoods import Categorical
from dgm_course.pixel import Multiscale, OrderedModel, PixelModel, PixelRNN
from dgm_course.pixel.pixelrnn import DiagonalBiLSTM, skew, unskew

pixelrnn = sys.modules["dgm_course.pixel.pixelrnn"]
multiscale = sys.modules["dgm_course.pixel.multiscale"]


def seen_by(model):
    """Which sub-pixels each conditional sees: (C, H, W, C, H, W)."""
    return sight(model) > 0


def test_a_skewed_picture_has_diagonals_as_columns():
    x = torch.arange(1.0, 13.0).view(1, 1, 3, 4)
    found = skew(x)[0, 0]
    assert found.tolist() == [
        [1, 2, 3, 4, 0, 0],
        [0, 5, 6, 7, 8, 0],
        [0, 0, 9, 10, 11, 12],
    ]
    assert torch.equal(unskew(skew(x), 4), x)


def states_see(layer, place):
    """The inputs that the states of one place depend on, (H, W)."""
    torch.manual_seed(0)
    x = torch.randn(1, 3, 4, 5, dtype=torch.float64, requires_grad=True)
    state = layer.double()(x)[0, :, *place]
    (slope,) = torch.autograd.grad(state.square().sum(), x)
    return slope[0].abs().sum(0) > 0


def test_both_directions_of_the_diagonals_see_all_but_the_rest_of_the_row():
    row, column = torch.arange(4)[:, None], torch.arange(5)
    for place in ((0, 0), (2, 1), (3, 4), (2, 4)):
        expected = (row < place[0]) | (row == place[0]) & (column <= place[1])
        assert torch.equal(states_see(DiagonalBiLSTM(3, 4), place), expected)


def test_a_row_lstm_sees_a_triangle():
    row, column = torch.arange(4)[:, None], torch.arange(5)
    seen = states_see(pixelrnn.RowLSTM(3, 4), (3, 3))
    # of each row, what the states above see, and one more place to the left
    up = 3 - row
    expected = (column >= 2 - up) & (column <= 3 + up)
    assert torch.equal(seen, expected & (row <= 3))


def test_states_that_are_not_moved_down_are_caught(monkeypatch):
    """The LSTM from the right, without its shift by a row."""
    monkeypatch.setattr(pixelrnn, "moved_down", lambda x: x)
    with pytest.raises(AssertionError):
        test_both_directions_of_the_diagonals_see_all_but_the_rest_of_the_row()


def test_an_lstm_is_that_of_torch():
    """Lines of one place, with the kernel of a matrix."""
    torch.manual_seed(0)
    theirs = torch.nn.LSTM(3, 4).double()
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    given = F.linear(x, theirs.weight_ih_l0, theirs.bias_ih_l0)

    # theirs: enter, forget, content, out
    def ours(gates):
        enter, forget, content, out = gates.chunk(4, dim=1)
        return torch.cat([out, forget, enter, content], 1)

    def state_to_state(h):
        gates = F.linear(h[..., 0], theirs.weight_hh_l0, theirs.bias_hh_l0)
        return ours(gates)[..., None]

    lines = [ours(one)[..., None] for one in given]
    found = torch.stack(pixelrnn.lstm(lines, state_to_state))[..., 0]
    torch.testing.assert_close(found, theirs(x)[0])


def pyramid(shape=(1, 4, 4), levels=2):
    torch.manual_seed(0)
    likelihood = Categorical(3)
    net = Multiscale(shape[0], likelihood.width(shape[0]), [3] * levels, 4, 1)
    model = OrderedModel(net, likelihood, shape).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def test_groups_double_a_picture():
    """One pixel; then each 2x2 of a coarse picture, corner after corner."""
    assert pyramid().order()[0].tolist() == [
        [0, 4, 1, 4],
        [5, 6, 5, 6],
        [2, 4, 3, 4],
        [5, 6, 5, 6],
    ]


@pytest.mark.parametrize("colours", [1, 2])
def test_a_pixel_sees_all_groups_before_its_own(colours):
    model = pyramid((colours, 4, 4))
    seen = seen_by(model)
    group = model.order() // colours
    colour = torch.arange(colours)[:, None, None].expand_as(group)
    place = torch.arange(16).view(4, 4).expand_as(group)
    ours, theirs = (..., *[None] * 3), (None, None, None, ...)
    before = group[theirs] < group[ours]
    itself = place[theirs] == place[ours]
    before |= itself & (colour[theirs] < colour[ours])
    assert torch.equal(seen, before)


def test_steps_grow_with_the_logarithm():
    for levels in range(1, 8):
        model = pyramid((1, 2**levels, 2**levels), levels)
        assert model.evaluations_per_sample == 1 + 3 * levels
    # a pixel at a time
    assert PixelModel.order(model).max() + 1 == 4**levels


@pytest.mark.parametrize("shape", [(1, 3, 5), (2, 7, 2), (1, 1, 6)])
def test_sides_of_any_length(shape):
    model = pyramid(shape, 3)
    order = model.order()
    assert set(order.flatten().tolist()) == set(range(int(order.max()) + 1))
    seen = seen_by(model).flatten(3).flatten(0, 2)
    assert not (seen & ~(order.flatten() < order.flatten()[:, None])).any()
    found = []
    for cached in (True, False):
        torch.manual_seed(1)
        found.append(model.sample(3, cached=cached))
    assert torch.equal(*found)
    with pytest.raises(ValueError, match="9x3 are too large for 3 doublings"):
        model.log_prob(torch.zeros(1, shape[0], 9, 3, dtype=torch.uint8))


def test_a_group_that_sees_itself_is_caught(monkeypatch):
    """Corners in the wrong order: the one that is predicted is shown."""
    right = multiscale.Multiscale._corner

    def wrong(self, y, level, k):
        stride = 2 ** len(self.levels) >> level
        if k == 3:  # the last corner in the place of the first
            y = y.clone()
            half = stride // 2
            y[:, :, ::stride, ::stride] = y[:, :, half::stride, half::stride]
        return right(self, y, level, k)

    monkeypatch.setattr(multiscale.Multiscale, "_corner", wrong)
    with pytest.raises(AssertionError):
        test_a_pixel_sees_all_groups_before_its_own(1)


def test_names_and_sizes_that_make_no_network_are_refused():
    with pytest.raises(ValueError, match="kind = 'column'"):
        PixelRNN(1, 4, kind="column")
    with pytest.raises(ValueError, match="hidden = 3: expected an even"):
        PixelRNN(1, 4, hidden=3, kind="diagonal")
    with pytest.raises(ValueError, match="blocks = 0"):
        Multiscale(1, 4, blocks=0)
