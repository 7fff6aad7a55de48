import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Independent, Normal, kl_divergence

from dgm_course import verify
from dgm_course.vae import Gaussians, kl_to_standard_normal, log_normal


def draw(seed, *shape, low=-1.0, high=1.0):
    generator = torch.Generator().manual_seed(seed)
    unit = torch.rand(shape, generator=generator, dtype=torch.float64)
    return low + (high - low) * unit


@settings(deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 8))
def test_density_and_kl_are_those_of_torch_distributions(seed, dim):
    z, mean = draw(seed, 5, dim, low=-3, high=3), draw(seed + 1, 5, dim)
    log_std = draw(seed + 2, 5, dim, low=-2)
    normal = Normal(mean, log_std.exp())
    oracle = Independent(normal, 1).log_prob(z)
    verify.equal("", "density", log_normal(z, mean, log_std), oracle, 500)
    kl = kl_divergence(normal, Normal(torch.zeros_like(mean), 1.0))
    verify.equal("", "KL", kl_to_standard_normal(mean, log_std), kl)


def test_swapping_the_kl_is_seen():
    mean, log_std = draw(0, 5, 3), draw(1, 5, 3, low=-2)
    normal = Normal(mean, log_std.exp())
    swapped = kl_divergence(Normal(torch.zeros_like(mean), 1.0), normal)
    with pytest.raises(verify.CheckFailed):
        verify.equal("", "", kl_to_standard_normal(mean, log_std), swapped)


def pairs_by_differences(z, mean, log_std):
    return torch.stack(
        [log_normal(z, m.expand_as(z), s.expand_as(z)) for m, s in
         zip(mean, log_std)], 1
    )  # fmt: skip


@pytest.mark.parametrize(
    "size, narrow, promised",
    [(5.0, math.log(0.01), 5e-8), (30.0, -7.0, 3e-4)],
)
def test_matrix_product_keeps_what_the_docstring_promises(
    size, narrow, promised
):
    dim = 20
    z = draw(0, 200, dim, low=-size, high=size)
    mean = draw(1, 100, dim, low=-size, high=size)
    log_std = draw(2, 100, dim, low=narrow, high=narrow + 1)
    # z next to a mean: there all the large terms cancel
    z[:100] = mean + log_std.exp() * draw(3, 100, dim)
    truth = pairs_by_differences(z, mean, log_std)
    found = Gaussians(mean, log_std).log_prob(z)
    # three terms per dimension, at most 2 (size / std)^2 together
    terms = dim * 2 * size**2 * math.exp(-2 * narrow)
    bound = (2 * dim + 4) * torch.finfo(torch.float64).eps / 2 * terms
    assert bound <= promised
    near = (found - truth).diagonal().abs()
    assert near.max() <= bound
    far = (found - truth).abs() / truth.abs().clamp(min=1)
    assert far.max() <= bound


def test_float32_would_lose_nats():
    mean, log_std = draw(0, 50, 20, low=-5, high=5), draw(1, 50, 20) - 4
    truth = pairs_by_differences(mean, mean, log_std).diagonal()
    narrow = Gaussians(mean, log_std)
    narrow.weights, narrow.bias = narrow.weights.float(), narrow.bias.float()
    narrow._wide = lambda x: x.float()
    found = narrow.log_prob(mean).diagonal()
    assert (found - truth).abs().max() > 0.01


def test_gradients_pass_through_the_matrix_product():
    mean, log_std = draw(0, 3, 2).requires_grad_(), draw(1, 3, 2)
    z = draw(2, 4, 2).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z, m: Gaussians(m, log_std).log_prob(z), (z, mean)
    )


def test_rows_fit_the_memory():
    gaussians = Gaussians(torch.zeros(1000, 2), torch.zeros(1000, 2))
    assert 24 * 1000 * gaussians.rows(memory=3) <= 3 * 2**20
    assert gaussians.rows(memory=0) == 1
