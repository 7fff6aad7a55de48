"""The one-dimensional maps: densities, tails, inverses, gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical, MixtureSameFamily, Normal

from dgm_course import verify
from dgm_course.flows import Affine, GaussianMixture

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def mixture(components, shape=(7,), seed=0, spread=2.0):
    """A conditional with random parameters in float64, and torch's own."""
    generator = torch.Generator().manual_seed(seed)
    parameters = torch.randn(
        3 * components, *shape, generator=generator, dtype=torch.float64
    )
    parameters[components : 2 * components] *= spread
    conditional = GaussianMixture(components)
    logits, mean, raw = (p.movedim(0, -1) for p in parameters.chunk(3))
    oracle = MixtureSameFamily(
        Categorical(logits=logits),
        Normal(mean, conditional.log_scale(raw).exp()),
    )
    return conditional, parameters, oracle


@settings(deadline=None)
@given(st.integers(1, 8), st.integers(0, 2**31))
def test_density_is_that_of_the_mixture(components, seed):
    conditional, parameters, oracle = mixture(components, seed=seed)
    x = 3 * torch.randn(7, dtype=torch.float64)
    z, slope = conditional.forward(x, parameters)
    log_normal = -0.5 * z.square() - HALF_LOG_2PI
    verify.equal("", "", log_normal + slope, oracle.log_prob(x), 512)
    # Phi(z) = F(x); 1 - F loses the digits that F has
    verify.equal("", "", torch.special.ndtr(z), oracle.cdf(x), 512)


@given(st.integers(0, 2**31))
def test_one_component_is_affine(seed):
    conditional, parameters, _ = mixture(1, seed=seed)
    v = 5 * torch.randn(7, dtype=torch.float64)
    size = 32 * math.exp(conditional.bound)
    for name in ("forward", "inverse"):
        one = getattr(conditional, name)(v, parameters)
        other = getattr(Affine(), name)(v, parameters[1:])
        for a, b in zip(one, other):
            # the log of the density is a difference of terms like z^2 / 2
            verify.equal("", name, a, b, int(size * (1 + v.abs().max()) ** 2))


@pytest.mark.parametrize(
    "dtype, far", [(torch.float32, 12.0), (torch.float64, 35.0)]
)
@pytest.mark.parametrize("components", [1, 3, 10])
def test_round_trip_reaches_far_into_the_tails(dtype, far, components):
    conditional, parameters, _ = mixture(components, (400,), spread=1.0)
    parameters = parameters.to(dtype)
    z = torch.linspace(-far, far, 400, dtype=dtype)
    x, ladj = conditional.inverse(z, parameters)
    again, slope = conditional.forward(x, parameters)
    assert torch.equal(slope, -ladj)
    # x is known to a few roundings of the bracket of the bisection, and the
    # map stretches them by its slope; a logarithm of size z^2 / 2 that is
    # divided by z brings |z| more
    _, mean, raw = parameters.chunk(3)
    scale = conditional.log_scale(raw).exp()
    bracket = (mean.abs() + scale * z.abs()).amax(0)
    eps = torch.finfo(dtype).eps
    tolerance = 32 * eps * (slope.exp() * bracket + 1 + z.abs())
    assert ((again - z).abs() <= tolerance).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_away_everything_is_finite_and_increasing(dtype):
    conditional, parameters, _ = mixture(3, (1,))
    parameters = parameters.to(dtype).expand(-1, 2001).clone()
    parameters.requires_grad_()
    x = torch.linspace(-1e4, 1e4, 2001, dtype=dtype).requires_grad_()
    z, slope = conditional.forward(x, parameters)
    assert z.isfinite().all() and slope.isfinite().all()
    assert (z.diff() > 0).all()
    (z.sum() + slope.sum()).backward()
    assert x.grad.isfinite().all() and parameters.grad.isfinite().all()


@pytest.mark.parametrize("components", [1, 3])
def test_gradients_of_both_directions(components):
    """Against finite differences; bisection itself has no gradient."""
    conditional, parameters, _ = mixture(components, (4,))
    v = torch.tensor([-2.5, -0.4, 0.7, 2.0], dtype=torch.float64)
    v.requires_grad_()
    parameters.requires_grad_()
    for name in ("forward", "inverse"):
        function = getattr(conditional, name)
        assert torch.autograd.gradcheck(function, (v, parameters))


def test_slope_is_the_derivative():
    conditional, parameters, _ = mixture(4, (50,))
    for name in ("forward", "inverse"):
        v = torch.linspace(-4, 4, 50, dtype=torch.float64).requires_grad_()
        value, ladj = getattr(conditional, name)(v, parameters)
        (slope,) = torch.autograd.grad(value.sum(), v)
        verify.equal("", name, slope.log(), ladj, roundings=2048)


def test_gradient_at_the_median():
    """Where both tails are equal, half of each would cancel."""
    conditional = GaussianMixture(1)
    parameters = torch.zeros(3, 1, dtype=torch.float64)
    x = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    z, _ = conditional.forward(x, parameters)
    (slope,) = torch.autograd.grad(z.sum(), x)
    assert z.item() == 0 and abs(slope.item() - 1) < 1e-14


def test_start():
    """Affine starts as the identity, a mixture with distinct components."""
    x = torch.linspace(-3, 3, 13)
    parameters = Affine().start()[:, None].expand(2, 13)
    z, slope = Affine().forward(x, parameters)
    assert torch.equal(z, x) and (slope == 0).all()
    _, means, _ = GaussianMixture(5).start().chunk(3)
    assert len(means.unique()) == 5
    with pytest.raises(ValueError, match="components = 0"):
        GaussianMixture(0)


def test_scales_are_bounded():
    parameters = torch.tensor([0.0, 1e9])[:, None].expand(2, 3)
    x = torch.tensor([-1e3, 0.0, 1e3])
    for name in ("forward", "inverse"):
        value, ladj = getattr(Affine(), name)(x, parameters)
        assert value.isfinite().all() and ladj.abs().max() <= Affine.bound
