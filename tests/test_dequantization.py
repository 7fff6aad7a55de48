"""The bound, its gap, and the discrete model behind it."""

import math

import pytest
import torch
from support import randomize

from dgm_course import flows, verify
from dgm_course.dequantization import Dequantized, Uniform
from dgm_course.likelihoods import bits_per_dim

NODES, WEIGHTS = verify.gauss_legendre(64)


class Mixture(torch.nn.Module):
    """A mixture of Gaussians on the line, in the place of a flow model."""

    def __init__(self, means, scales, weights):
        super().__init__()
        self.base = flows.StandardNormal(1).double()
        parts = torch.distributions.Normal(means, scales)
        which = torch.distributions.Categorical(weights)
        self.p = torch.distributions.MixtureSameFamily(which, parts)

    def log_prob(self, y, context=None):
        return self.p.log_prob(y[:, 0])


def model_1d():
    means = torch.tensor([2.3, 6.1], dtype=torch.float64)
    scales = torch.tensor([0.4, 0.9], dtype=torch.float64)
    return Mixture(means, scales, torch.tensor([0.5, 0.5]).double())


def exact_log_P(p, x):
    log_p = p.log_prob(x[:, None].double() + NODES)
    return (WEIGHTS * log_p.exp()).sum(1).log()


def test_elbo_is_the_expectation_over_noise():
    """Catches noise from [0, 2), a shared scalar u would pass in 1-D."""
    model = Dequantized(model_1d())
    for x in (2, 5):
        pixels = torch.full((100_000, 1), x, dtype=torch.uint8)
        log_p = model.model.p.log_prob(x + NODES)
        exact = (WEIGHTS * log_p).sum()
        verify.expectation("elbo", "unbiased", model.elbo(pixels), exact)


def test_uniform_noise_fills_the_cube_independently():
    x = torch.zeros(100_000, 2, dtype=torch.float64)
    u, log_q = Uniform()(x)
    assert u.min() >= 0 and u.max() < 1 and torch.equal(log_q, x[:, 0])
    for power in (1, 2, 3):
        verify.expectation("u", "moment", u[:, 0] ** power, 1 / (power + 1))
    verify.expectation("u", "independent", u[:, 0] * u[:, 1], 1 / 4)


def test_importance_weighted_bound_is_monotone_and_below():
    model = Dequantized(model_1d())
    pixels = torch.full((50_000, 1), 4, dtype=torch.uint8)
    exact = exact_log_P(model.model.p, torch.tensor([4]))[0]
    means = []
    for k in (1, 2, 8, 64):
        samples = model.iw_bound(pixels, k)
        verify.mean_at_most("iw", f"k={k}", samples, exact)
        means.append(verify.mean_and_se(samples))
    for (low, se_low), (high, se_high) in zip(means, means[1:]):
        assert high - low > -5 * math.hypot(se_low, se_high)
    assert exact - means[-1][0] < 0.2 * (exact - means[0][0])


def test_uniform_model_scores_8_bits():
    alpha = 1e-9
    flow = flows.Logit(256, alpha)
    density = flows.FlowModel(flow, flows.StandardLogistic(6)).double()
    x = torch.randint(0, 256, (50, 6), dtype=torch.uint8)
    bits = bits_per_dim(Dequantized(density).elbo(x), 6)
    assert (bits - 8).abs().max() < 10 * alpha


@pytest.mark.parametrize("levels", [2, 8, 256])
def test_bits_do_not_depend_on_the_scale_of_preprocessing(levels):
    """Rescaling inside of the flow changes nothing but the parameters."""

    class Scale(flows.Flow):
        def forward(self, x, context=None):
            ladj = x.new_full((len(x),), -x[0].numel() * math.log(levels))
            return x / levels, ladj

        def inverse(self, z, context=None):
            ladj = z.new_full((len(z),), z[0].numel() * math.log(levels))
            return z * levels, ladj

    x = levels * torch.rand(9, 4, dtype=torch.float64)
    inner = randomize(flows.realnvp(4, hidden=(8,)).flow).double()
    base = flows.StandardNormal(4).double()
    direct = flows.FlowModel(
        flows.Compose(flows.Logit(levels), inner), base
    ).log_prob(x)
    two_steps = flows.FlowModel(
        flows.Compose(Scale(), flows.Logit(1), inner), base
    ).log_prob(x)
    torch.testing.assert_close(direct, two_steps, rtol=1e-12, atol=1e-11)


def test_samples_are_integers_with_the_right_probabilities():
    flow = flows.FlowModel(
        flows.Logit(levels=4, alpha=1e-6), flows.StandardLogistic(1)
    )
    samples = Dequantized(flow).sample(100_000)
    assert samples.dtype == torch.int64
    for level in range(4):
        hits = (samples == level).double()
        # alpha moves a mass of 1e-6 off the levels: far below the error
        verify.expectation("sample", "frequency", hits, 0.25)


def test_float_input_is_refused():
    with pytest.raises(ValueError, match="takes integers"):
        Dequantized(model_1d()).elbo(torch.zeros(3, 1))
    with pytest.raises(ValueError, match="k must be at least 1"):
        Dequantized(model_1d()).iw_bound(torch.zeros(3, 1).long(), 0)


def test_bits_per_dim_refuses_no_dims():
    with pytest.raises(ValueError, match="positive"):
        bits_per_dim(-1.0, 0)
