import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.vaes import all_pictures, tiny_vae

from dgm_course import verify
from dgm_course.flows import realnvp
from dgm_course.likelihoods import Bernoulli
from dgm_course.vae import (
    VAE,
    DiagonalGaussian,
    MixtureOfGaussians,
    Parts,
    log_normal,
    mlp_vae,
)


def exact_log_likelihood(model, x):
    """Log p(x) by quadrature over one latent dimension."""
    z = torch.linspace(-9, 9, 4001, dtype=torch.float64)[:, None]
    logits = model.decoder(z)
    joint = torch.stack(
        [model.likelihood.log_prob(one.expand(len(z), *one.shape), logits)
         for one in x]
    ) + model.prior.log_prob(z)  # fmt: skip
    return joint.logsumexp(1) + math.log(18 / 4000)


@settings(deadline=None)
@given(st.integers(0, 2**31), st.floats(0.1, 20.0))
def test_bernoulli_sums_to_one(seed, size):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(1, 1, 2, 3, generator=generator).double() * size
    x = all_pictures((1, 2, 3))
    log_p = Bernoulli().log_prob(x, logits.expand(len(x), -1, -1, -1))
    verify.equal("", "total", log_p.exp().sum(), 1.0, 200)


def test_bernoulli_is_finite_at_extreme_logits():
    x = torch.tensor([[1, 0]], dtype=torch.uint8)
    log_p = Bernoulli().log_prob(x, torch.tensor([[-1e4, 1e4]]))
    assert log_p.item() == -2e4


@pytest.mark.parametrize(
    "x", [torch.rand(2, 3), torch.tensor([[0, 255, 1]], dtype=torch.uint8)]
)
def test_grey_values_are_refused(x):
    with pytest.raises(ValueError, match="binarize"):
        Bernoulli().log_prob(x, torch.zeros(x.shape))


def test_samples_are_bits_with_the_right_mean():
    logits = torch.tensor([-2.0, 0.0, 1.0]).expand(20_000, 3)
    x = Bernoulli().sample(logits)
    assert x.dtype == torch.uint8 and set(x.unique().tolist()) == {0, 1}
    for column, mean in zip(x.T, torch.sigmoid(logits[0])):
        verify.expectation("", "mean pixel", column, mean)


def test_analytic_and_sampled_kl_agree():
    model = tiny_vae(latents=3)
    x = all_pictures().repeat(500, 1, 1, 1)
    exact, sampled = model.parts(x), model.parts(x, analytic=False)
    assert exact.kl_groups.shape == (len(x), 3)
    assert sampled.kl_groups.shape == (len(x), 1)
    verify.expectation("", "KL", sampled.kl - exact.kl, 0.0)


def test_kl_averaged_over_dimensions_is_seen(monkeypatch):
    model = tiny_vae(latents=3)
    x = all_pictures().repeat(500, 1, 1, 1)
    sampled = model.parts(x, analytic=False).kl
    monkeypatch.setattr(
        Parts, "kl", property(lambda self: self.kl_groups.mean(1))
    )
    with pytest.raises(verify.CheckFailed):
        verify.expectation("", "KL", sampled - model.parts(x).kl, 0.0)


def test_posterior_density_is_that_of_its_samples():
    posterior = DiagonalGaussian(3)
    h = torch.randn(50, 6).double()
    z, log_q = posterior.rsample_and_log_prob(h)
    mean, log_std = posterior.mean_and_log_std(h)
    verify.equal("", "log q", log_q, log_normal(z, mean, log_std))
    # the samples have that mean and scale: noise is standard normal
    h = h[:1].expand(20_000, -1)
    z, _ = posterior.rsample_and_log_prob(h)
    noise = (z - mean[0]) / log_std[0].exp()
    verify.expectation("", "mean", noise, 0.0)
    verify.expectation("", "variance", noise.square(), 1.0)


def test_posterior_scale_is_bounded():
    h = torch.tensor([[0.0, -1e9], [0.0, 1e9]])
    log_std = DiagonalGaussian(1).mean_and_log_std(h)[1]
    assert log_std.flatten().tolist() == [-7.0, 7.0]


@torch.no_grad()
def test_probabilities_of_all_pictures_sum_to_one():
    model = tiny_vae()
    total = exact_log_likelihood(model, all_pictures()).exp().sum()
    verify.equal("", "total", total, 1.0, 4001)


@torch.no_grad()
def test_bounds_rise_with_k_towards_the_log_likelihood():
    model = tiny_vae()
    x = all_pictures()[5:6]
    truth = exact_log_likelihood(model, x)
    many = x.expand(4000, -1, -1, -1)
    elbo = model.elbo(many)
    five = model.iw_bound(many, k=5, chunk=2)
    verify.mean_at_most("", "ELBO", elbo, truth)
    verify.mean_at_most("", "bound", five, truth)
    verify.mean_at_most("", "rises", elbo - five, 0.0)
    assert five.mean() - elbo.mean() > 0.1  # and strictly so
    # the weights themselves are unbiased: E[p(x, z) / q(z|x)] = p(x)
    weights = (model.iw_bound(many, k=50) - truth).exp()
    verify.expectation("", "p(x)", weights, 1.0)


@torch.no_grad()
def test_gap_of_the_elbo_is_the_posterior_kl():
    """log p(x) - ELBO = KL(q(z|x) || p(z|x)), by quadrature."""
    model = tiny_vae()
    x = all_pictures()[5:6]
    mean, log_std = model.posterior.mean_and_log_std(model.encode(x))
    z = torch.linspace(-9, 9, 4001, dtype=torch.float64)[:, None]
    log_q = log_normal(z, mean, log_std)
    same = x.expand(len(z), -1, -1, -1)
    joint = model.likelihood.log_prob(same, model.decoder(z))
    joint = joint + model.prior.log_prob(z)
    truth = exact_log_likelihood(model, x)
    gap = (log_q.exp() * (log_q - joint + truth)).sum() * 18 / 4000
    elbo = model.elbo(x.expand(20_000, -1, -1, -1))
    verify.expectation("", "gap", truth - elbo, gap)


def test_the_bound_of_one_sample_has_the_slope_of_the_elbo():
    """Through the samples, and through the density that they are drawn from."""
    model, x, slopes = tiny_vae(), all_pictures(), []
    for bound in (
        lambda: model.iw_bound(x, 1),
        lambda: model.parts(x, analytic=False).elbo,
    ):
        torch.manual_seed(1)
        slope = torch.autograd.grad(bound().sum(), [*model.parameters()])
        slopes.append(torch.cat([part.flatten() for part in slope]))
    size = slopes[1].abs().max()
    verify.equal("", "slope", *slopes, roundings=256, size=size)


@pytest.mark.parametrize("k, chunk", [(1, 1), (7, 3), (7, 7), (8, 64)])
def test_chunks_change_nothing(monkeypatch, k, chunk):
    table = 50 * torch.randn(3, 8).double()
    taken = [0]

    def weights(self, x, h):
        m, low = len(x) // 3, taken[0]
        taken[0] += m
        return table[:, low : low + m].flatten()

    monkeypatch.setattr(VAE, "_log_weights", weights)
    x = all_pictures()[:3]
    bound = tiny_vae().iw_bound(x, k, chunk)
    truth = table[:, :k].logsumexp(1) - math.log(k)
    verify.equal("", "bound", bound, truth)
    with pytest.raises(verify.CheckFailed):  # the mutant without log k
        verify.equal("", "bound", bound, truth + math.log(k + 1))


@pytest.mark.parametrize("k, chunk", [(0, 1), (1, 0)])
def test_senseless_sample_sizes_are_refused(k, chunk):
    with pytest.raises(ValueError, match="at least 1"):
        tiny_vae().iw_bound(all_pictures(), k, chunk)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["normal", "mixture", "flow"])
def test_shapes_dtypes_and_gradients_under_every_prior(dtype, kind):
    priors = {
        "normal": None,
        "mixture": MixtureOfGaussians(2, 5),
        "flow": realnvp(2, layers=2, hidden=(8,)),
    }
    model = mlp_vae(2, priors[kind], hidden=(8,), shape=(1, 3, 3)).to(dtype)
    x = torch.randint(0, 2, (5, 1, 3, 3), dtype=torch.uint8)
    for bound in (model.elbo(x), model.iw_bound(x, 3)):
        assert bound.shape == (5,) and bound.dtype == dtype
    model.zero_grad()
    model.elbo(x).mean().backward()
    assert all(p.grad is not None for p in model.parameters())
    for n in (0, 4):
        drawn = model.sample(n, temperature=0.7)
        assert drawn.shape == (n, 1, 3, 3) and drawn.dtype == torch.uint8
    decoded = model.decode(torch.zeros(2, 2, dtype=dtype))
    assert decoded.shape == (2, 1, 3, 3) and 0 <= decoded.min()
    assert decoded.max() <= 1


def test_temperature_reaches_the_prior(monkeypatch):
    model = tiny_vae(latents=2)
    monkeypatch.setattr(model.likelihood, "sample", model.likelihood.mean)
    cold = model.sample(3, temperature=0.0)
    origin = model.decode(torch.zeros(3, 2).double())
    verify.equal("", "cold samples", cold, origin)


def test_state_dict_round_trip():
    a, b = tiny_vae(seed=0), tiny_vae(seed=1)
    b.load_state_dict(a.state_dict())
    torch.manual_seed(0)
    first = a.elbo(all_pictures())
    torch.manual_seed(0)
    assert torch.equal(first, b.elbo(all_pictures()))
