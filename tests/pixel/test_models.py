"""What is particular to one model of pictures."""

import pytest
import torch
from support import randomize
from support.pixel import sight

from dgm_course import verify
from dgm_course.likelihoods import (
    Categorical,
    ColourLogistics,
    DiscretizedLogistics,
)
from dgm_course.pixel import PixelCNN, PixelCNNPP, PixelModel


@pytest.mark.parametrize("shape", [(2, 4, 4), (2, 8, 12)])
def test_three_resolutions(shape):
    """They see all that is near; what is kept between them is right."""
    torch.manual_seed(0)
    likelihood = ColourLogistics(2, 5, 2)
    net = PixelCNNPP(2, likelihood.width(2), 3, 2, 3)
    model = PixelModel(net, likelihood, shape)
    randomize(model, 0.5).double().eval()
    if shape == (2, 4, 4):
        order = model.order().flatten()
        seen = sight(model).flatten(3).flatten(0, 2) > 0
        assert torch.equal(seen, order < order[:, None])
    found = []
    for cached in (True, False):
        torch.manual_seed(1)
        found.append(model.sample(2, cached=cached))
    assert torch.equal(*found)
    with pytest.raises(ValueError, match="width to be multiples of 4"):
        model.log_prob(torch.zeros(1, 2, 4, 6, dtype=torch.uint8))


def test_the_blind_spot_is_where_the_paper_draws_it():
    """Above, a layer reaches as far to the right as it reaches up."""
    torch.manual_seed(0)
    net = PixelCNN(1, 3, 8, 6, 3, 3, 8)
    model = PixelModel(net, Categorical(3), (1, 6, 9))
    seen = sight(randomize(model, 0.5).double())[0, 4, 2, 0] > 0
    row, column = torch.arange(6)[:, None], torch.arange(9)
    above = (row < 4) & (column - 2 <= 4 - row)
    assert torch.equal(seen, above | (row == 4) & (column < 2))


def test_a_pixel_of_one_colour_is_a_mixture_of_logistics():
    """Up to the order of the parameters."""
    torch.manual_seed(0)
    parameters = torch.randn(4, 9, 2, 3).double()
    x = torch.randint(7, (4, 1, 2, 3))
    other = parameters.unflatten(1, (3, 3)).transpose(1, 2).flatten(1, 2)
    ours, theirs = ColourLogistics(1, 7, 3), DiscretizedLogistics(7, 3)
    assert ours.width(1) == theirs.width(1)
    verify.equal(
        "", "", ours.log_prob(x, parameters), theirs.log_prob(x, other)
    )
    verify.equal("", "", ours.mean(parameters), theirs.mean(other), 7 * 64)


@pytest.mark.parametrize("colours", [1, 2, 3])
def test_probabilities_of_all_pixels_sum_to_one(colours):
    torch.manual_seed(0)
    likelihood = ColourLogistics(colours, 4, 2)
    parameters = torch.randn(1, likelihood.width(colours), 1, 1).double()
    every = torch.cartesian_prod(*[torch.arange(4)] * colours)
    every = every.view(-1, colours, 1, 1)
    n = len(every)
    p = likelihood.log_prob(every, parameters.expand(n, -1, -1, -1)).exp()
    verify.equal("", "sum", p.sum(), 1.0, 64 * n)
    drawn = likelihood.sample(parameters.expand(20_000, -1, -1, -1))
    same = (drawn[:, None] == every).flatten(2).all(2).double()
    verify.expectation("", "samples", same - p, 0.0)


def test_colours_depend_on_those_before_them():
    likelihood = ColourLogistics(3, 256, 1)
    parameters = torch.zeros(1, 10, 1, 1).double()
    parameters[:, 4:7] = -6.0  # narrow
    parameters[:, 7:] = torch.tensor([20.0, -20.0, 20.0]).view(1, 3, 1, 1)
    parameters[:, 1] = 0.5
    r, g, b = likelihood.sample(parameters)[0, :, 0, 0].tolist()
    # y_g = y_r and y_b = y_g - y_r
    assert r == pytest.approx(191, abs=5) and g == pytest.approx(r, abs=5)
    assert b == pytest.approx(127, abs=5)
    with pytest.raises(NotImplementedError, match="average samples"):
        likelihood.mean(parameters)
    with pytest.raises(ValueError, match="made for 3"):
        likelihood.log_prob(torch.zeros(1, 1, 1, 1).long(), parameters)
