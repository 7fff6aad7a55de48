"""The IAF-VAE: its posterior's density, its order, its free bits."""

import sys

import pytest
import torch
from support import randomize
from support.vaes import all_pictures

from dgm_course import verify
from dgm_course.likelihoods import DiscretizedLogistics
from dgm_course.vae import IAFVAE, Objective

iaf_vae = sys.modules["dgm_course.vae.iaf_vae"]
EPS = torch.finfo(torch.float64).eps


def tiny(blocks=2, levels=1, shape=(1, 2, 2)):
    """A random model of black and white pictures, in float64.

    Its weights are small enough for importance weights with a variance.
    """
    torch.manual_seed(0)
    likelihood = DiscretizedLogistics(2, components=1)
    model = IAFVAE(shape, levels, blocks, 4, 2, likelihood)
    return randomize(model, std=0.15).double()


def grey(n=3, shape=(2, 8, 4)):
    return torch.randint(256, (n, *shape), dtype=torch.uint8)


def step(latents=2):
    torch.manual_seed(0)
    return randomize(iaf_vae.IAFStep(latents, 6)).double()


def inputs(n=4):
    z = torch.randn(n, 2, 3, 3, dtype=torch.float64)
    return z, torch.randn(n, 6, 3, 3, dtype=torch.float64)


def in_order(z):
    """Place after place, and at each place channel after channel."""
    return z.movedim(1, -1).flatten(1)


def check_step():
    """Triangular, with the diagonal that it tells; and it sees what it may."""
    one = step()
    z, context = inputs(1)
    order = in_order(torch.arange(18).view(1, 2, 3, 3))[0]
    matrix = torch.autograd.functional.jacobian(
        lambda z: one(z.view(1, 2, 3, 3), context)[0].flatten(), z.flatten()
    )[order][:, order]
    assert (matrix.triu(1) == 0).all()
    diagonal = (-one(z, context)[1]).exp().flatten()[order]
    assert (matrix.diagonal() - diagonal).abs().max() <= 64 * EPS
    # the second channel of the middle: all of the rows above, and in its own
    # row the channels before it
    assert (matrix[9, :9] != 0).all() and (matrix[9, 10:] == 0).all()


def test_a_step_is_triangular_and_sees_what_comes_before():
    check_step()


def test_a_step_that_sees_its_own_channel_is_caught(monkeypatch):
    """Mask B where A belongs."""
    masked = iaf_vae.masked
    monkeypatch.setattr(
        iaf_vae, "masked", lambda kind, *sizes: masked("B", *sizes)
    )
    with pytest.raises(AssertionError):
        check_step()


def test_a_step_takes_its_context_everywhere():
    one, (z, context) = step(), inputs()
    moved, s = one(z, context + 1)
    before, s_before = one(z, context)
    assert (moved != before).all() and (s != s_before).all()


def probabilities_sum_to_one():
    """Importance weights of all pictures: E sum_x p(x, z) / q(z|x) = 1.

    They hold log q, log p and the z of both to one density.
    """
    model, x = tiny(), all_pictures()
    torch.manual_seed(1)
    with torch.no_grad():
        weights = model.elbo(x.repeat(4000, 1, 1, 1)).exp().view(4000, 16)
    verify.expectation("all pictures", "one", weights.sum(1), 1.0)
    return weights


def test_probabilities_sum_to_one(capsys):
    probabilities_sum_to_one()


def without_its_slope(self, z, context):
    z, s = forward(self, z, context)
    return z, torch.zeros_like(s)


def wrong_sign(self, z, context):
    z, s = forward(self, z, context)
    return z, -s


def left_out(self, z, context):
    return z, forward(self, z, context)[1]


forward = iaf_vae.IAFStep.forward


@pytest.mark.parametrize("wrong", [without_its_slope, wrong_sign, left_out])
def test_a_wrong_density_is_caught(wrong, monkeypatch, capsys):
    monkeypatch.setattr(iaf_vae.IAFStep, "forward", wrong)
    with pytest.raises(AssertionError):
        probabilities_sum_to_one()


def test_pictures_are_drawn_as_often_as_their_density_says(capsys):
    weights, model = probabilities_sum_to_one(), tiny()
    torch.manual_seed(2)
    x, drawn = all_pictures().flatten(1), model.sample(4000).flatten(1)
    hits = (x[None] == drawn[:, None]).all(2).double()
    assert hits.sum() == 4000
    for i in range(16):
        verify.expectation("picture", str(i), hits[:, i] - weights[:, i], 0.0)


def test_the_bound_rises_with_its_samples():
    model, x = tiny(), all_pictures().repeat(50, 1, 1, 1)
    torch.manual_seed(1)
    with torch.no_grad():
        one, many = model.iw_bound(x, 1), model.iw_bound(x, 10)
    mean, se = verify.mean_and_se(many - one)
    assert mean > 5 * se


def test_the_posterior_of_a_layer_sees_the_layers_above():
    """Bidirectional inference: the same x, another h from above."""
    model, x = tiny(), all_pictures()[:3]
    told = model._up(x)[0]
    layer, h = model.layers[0], torch.randn(3, 4, 1, 1, dtype=torch.float64)

    def drawn(h):
        torch.manual_seed(0)
        return layer.down(h, told)[1]

    assert (drawn(h) != drawn(h + 1)).all()


def test_every_parameter_has_a_gradient():
    model = tiny(levels=2, shape=(1, 4, 4))
    model.elbo(torch.zeros(5, 1, 4, 4, dtype=torch.uint8)).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_free_bits_are_an_objective_and_no_bound():
    """sum_j max(free, mean KL_j), in training alone (equation 15)."""
    model, x = tiny(levels=2, shape=(1, 4, 4)), torch.zeros(6, 1, 4, 4).byte()

    def drawn(function):
        torch.manual_seed(0)
        return function()

    parts = drawn(lambda: model.train().parts(x))
    assert parts.kl_groups.shape == (6, 2 * 2 * 2)
    means = parts.kl_groups.mean(0)
    free = means.max().item() / 2  # some are free, and some are not
    assert free > 0 and (means < free).any()
    objective = Objective(free_bits=free)
    loss = drawn(lambda: objective(model, x, 0)).mean()
    expected = means.clamp(min=free).sum() - parts.reconstruction.mean()
    torch.testing.assert_close(loss, expected)
    # what is reported
    judged = drawn(lambda: objective(model.eval(), x, 0))
    assert torch.equal(judged, -drawn(lambda: model.elbo(x)))
    assert loss > judged.mean()


def test_samples_are_pictures_of_the_likelihood():
    torch.manual_seed(0)
    model = IAFVAE((2, 8, 4), 2, 1, 8, 4)
    x = model.sample(5)
    assert x.shape == (5, 2, 8, 4) and x.dtype == torch.uint8
    assert model.parts(x).kl_groups.shape == (5, 8)
    with torch.no_grad():
        assert model.elbo(x).isfinite().all()


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match=r"\(1, 6, 4\), .* multiples of 4"):
        IAFVAE((1, 6, 4))
    with pytest.raises(ValueError, match="latents = 3; expected"):
        IAFVAE((1, 4, 4), channels=8, latents=3)
    with pytest.raises(ValueError, match=r"\(3, 1, 4, 4\); .* \(B, 2, 8, 4\)"):
        IAFVAE((2, 8, 4)).elbo(grey(shape=(1, 4, 4)))
    with pytest.raises(ValueError, match="blocks = 0"):
        IAFVAE((2, 8, 4), blocks=0)
    with pytest.raises(ValueError, match="k = 0"):
        IAFVAE((2, 8, 4)).iw_bound(grey(), 0)
