import math

import pytest
import torch
from support.vaes import all_pictures, tiny_vae

from dgm_course import verify
from dgm_course.likelihoods import Bernoulli
from dgm_course.vae import (
    Codes,
    best_codes,
    encode_all,
    gaps,
    grid_log_likelihood,
    log_joint,
    log_normal,
    log_weights,
    mlp_vae,
    tune,
)


def two_dimensions():
    """A VAE of four pixels and two codes, whose encoder is far off."""
    model = tiny_vae(latents=2, seed=3).requires_grad_(False)
    model.encoder[1][-1].bias[0] = 1.5
    return model


def wide(mean, log_std):
    """One Gaussian in two dimensions, in float64."""
    return Codes(*(torch.tensor([v]).double() for v in (mean, log_std)))


def quadrature(model, x, codes, points=801):
    """The ELBO of one object's Gaussian, as a sum over a grid of z."""
    ticks = torch.linspace(-9, 9, points, dtype=torch.float64)
    z = torch.cartesian_prod(ticks, ticks)
    log_q = log_normal(z, *(part.expand_as(z) for part in codes))
    terms = log_joint(model, x, z)[0] - log_q
    return ((log_q.exp() * terms).sum() * (18 / (points - 1)) ** 2).item()


def test_all_pairs_are_the_pairs_one_by_one():
    torch.manual_seed(0)
    x, logits = all_pictures(), 3 * torch.randn(5, 1, 2, 2).double()
    found = Bernoulli().log_prob_pairs(x, logits)
    each = logits[:, None].expand(5, 16, 1, 2, 2)
    truth = [Bernoulli().log_prob(x, one) for one in each]
    verify.equal("", "pairs", found, torch.stack(truth, 1))


def test_the_grid_finds_a_probability():
    model = two_dimensions()
    log_p = grid_log_likelihood(model, all_pictures(), 200, box=8.0)
    verify.equal("", "total", log_p.exp().sum(), 1.0, 200**2)


def test_the_grid_refuses_other_dimensions():
    with pytest.raises(ValueError, match="3 latent dimensions"):
        grid_log_likelihood(tiny_vae(latents=3), all_pictures())


def test_weights_have_the_mean_p_and_their_logs_the_mean_elbo():
    model, x = two_dimensions(), all_pictures()[5:6]
    codes = wide([0.3, -0.2], [0.2, 0.3])  # wider than the true posterior
    torch.manual_seed(0)
    weights = log_weights(model, x, codes, 4000)
    log_p = grid_log_likelihood(model, x, 400, box=8.0)
    verify.expectation("", "p(x)", (weights - log_p).exp(), 1.0)
    verify.expectation("", "ELBO", weights, quadrature(model, x, codes))


def test_tuning_finds_the_best_gaussian():
    """Against L-BFGS on a quadrature of the ELBO without noise."""
    model, x = two_dimensions(), all_pictures()[5:6]
    noise = torch.cartesian_prod(*[torch.linspace(-5, 5, 61).double()] * 2)
    weight = (-0.5 * noise.square().sum(1)).softmax(0)
    best = [torch.zeros(1, 2).double().requires_grad_() for _ in range(2)]
    optimizer = torch.optim.LBFGS(best, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        z = best[0] + best[1].exp() * noise
        log_x = model.likelihood.log_prob_pairs(x, model.decoder(z))[0]
        value = -(weight * (log_x + model.prior.log_prob(z))).sum()
        value = value - best[1].sum()
        value.backward()
        return value

    optimizer.step(loss)
    torch.manual_seed(0)
    start = encode_all(model, x)
    found = tune(model, x, start)
    first, ours, limit = (
        quadrature(model, x, Codes(*(part.detach() for part in codes)))
        for codes in (start, found, best)
    )
    assert first < ours < limit
    assert limit - ours < 0.01 * (limit - first)


def test_the_model_stays_as_it_is():
    model, x = two_dimensions(), all_pictures()
    model.requires_grad_(True)
    before = [p.clone() for p in model.parameters()]
    tune(model, x, encode_all(model, x), steps=3)
    assert all(map(torch.equal, before, model.parameters()))
    assert all(p.grad is None for p in model.parameters())


def test_a_wrong_region_is_left_by_a_better_start():
    """A decoder with two distant codes for one picture, one of them poor."""
    model = mlp_vae(1, hidden=(4,), shape=(1, 1, 1)).double()
    model.decoder = torch.nn.Sequential(
        _Valley(), torch.nn.Unflatten(1, (1, 1, 1))
    )
    x = torch.ones(1, 1, 1, 1, dtype=torch.uint8)
    model.encoder[1][-1].bias.data = torch.tensor([-2.0, -3.0]).double()
    model.encoder[1][-1].weight.data.zero_()
    torch.manual_seed(0)
    stuck = tune(model, x, encode_all(model, x)).mean.item()
    free = best_codes(model, x, torch.linspace(-4, 4, 50)[:, None].double())
    assert stuck < 0 < free.mean.item()


class _Valley(torch.nn.Module):
    """Logits -1 at z = -2, 8 at z = 1, and a deep valley in between."""

    def forward(self, z):
        left, right = -((z + 2) / 0.1).square(), -((z - 1) / 0.1).square()
        return torch.maximum(left - 1, right + 8).clamp(min=-60)


def test_gaps_add_up_to_the_gap():
    model, x = two_dimensions(), all_pictures().repeat(20, 1, 1, 1)
    torch.manual_seed(0)
    found = gaps(model, x, model.prior.sample(500), k=50)
    log_p = grid_log_likelihood(model, x, 200, box=8.0)
    elbo = [
        quadrature(model, x[i : i + 1], encode_all(model, x[i : i + 1]))
        for i in range(16)
    ]
    gap = (log_p[:16] - torch.tensor(elbo)).mean()
    both = found.amortization + (log_p - found.tuned_elbo)
    verify.expectation("", "gap", both, gap)
    for bound in found:
        verify.mean_at_most("", "bounds", bound - log_p, 0.0)
    verify.mean_at_most("", "tuning gains", -found.amortization, 0.0)
    assert found.amortization.mean() > 0.1
    assert found.approximation.mean() < found.amortization.mean()
    assert math.isfinite(found.bound.mean())
