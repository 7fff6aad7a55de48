"""The one-dimensional maps: densities, tails, inverses, gradients."""

import math

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical, MixtureSameFamily, Normal

from dgm_course import verify
from dgm_course.flows import (
    Affine,
    Chain,
    GaussianMixture,
    LogisticMixture,
    ScaleShift,
    Shift,
)

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
BOTH = pytest.mark.parametrize("kind", [GaussianMixture, LogisticMixture])


def exact(parameters, s, x):
    """Log-odds of a mixture of logistics, and their log-slope, by mpmath."""
    with mpmath.workdps(60):
        logits, mean, _ = parameters.double().chunk(3)
        weight = [mpmath.exp(a.item()) for a in logits[:, 0]]
        below = above = density = mpmath.mpf(0)
        for w, m, log_scale in zip(weight, mean[:, 0], s[:, 0]):
            scale = mpmath.exp(mpmath.mpf(log_scale.item()))
            u = (mpmath.mpf(x.item()) - mpmath.mpf(m.item())) / scale
            e = mpmath.exp(-abs(u))
            large, small = 1 / (1 + e), e / (1 + e)
            w = w / sum(weight)
            below += w * (large if u > 0 else small)
            above += w * (small if u > 0 else large)
            density += w * large * small / scale
        slope = mpmath.log(density / below / above)
        return float(mpmath.log(below / above)), float(slope)


def mixture(components, shape=(7,), seed=0, spread=2.0, kind=GaussianMixture):
    """A conditional with random parameters in float64, and torch's own."""
    generator = torch.Generator().manual_seed(seed)
    parameters = torch.randn(
        3 * components, *shape, generator=generator, dtype=torch.float64
    )
    parameters[components : 2 * components] *= spread
    conditional = kind(components)
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(deadline=None)
@given(st.integers(1, 5), st.integers(0, 2**31), st.floats(-9.0, 3.0))
def test_log_odds_of_logistics_against_many_digits(dtype, count, seed, size):
    """Scales down to exp(-9), 2 away from the mean."""
    torch.manual_seed(seed)
    conditional = LogisticMixture(count, bound=20)
    parameters = torch.randn(3 * count, 1, dtype=dtype)
    parameters[2 * count :] += size
    x = 2 * torch.rand(1, dtype=dtype) - 1
    z, slope = conditional.forward(x, parameters)
    _, mean, s = conditional._split(parameters)
    # u = (x - mean) exp(-s) has the relative error of s and a few roundings;
    # both results change by no more than that of u, and the sums round
    u = ((x - mean) * (-s).exp()).abs().max().item()
    roundings = 16 * (1 + s.abs().max().item()) * (1 + u)
    expected = exact(parameters, s, x)
    eps = torch.finfo(dtype).eps
    assert abs(z.item() - expected[0]) <= roundings * eps
    assert abs(slope.item() - expected[1]) <= roundings * eps


@BOTH
@settings(deadline=None)
@given(st.integers(0, 2**31))
def test_one_component_is_affine(kind, seed):
    conditional, parameters, _ = mixture(1, seed=seed, kind=kind)
    v = 5 * torch.randn(7, dtype=torch.float64)
    size = 32 * math.exp(conditional.bound)
    for name in ("forward", "inverse"):
        one = getattr(conditional, name)(v, parameters)
        other = getattr(Affine(), name)(v, parameters[1:])
        for a, b in zip(one, other):
            # the log of the density is a difference of terms like z^2 / 2
            verify.equal("", name, a, b, int(size * (1 + v.abs().max()) ** 2))


@BOTH
@pytest.mark.parametrize(
    "dtype, far", [(torch.float32, 12.0), (torch.float64, 35.0)]
)
@pytest.mark.parametrize("components", [1, 3, 10])
def test_round_trip_reaches_far_into_the_tails(kind, dtype, far, components):
    conditional, parameters, _ = mixture(
        components, (400,), spread=1.0, kind=kind
    )
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


@BOTH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_away_everything_is_finite_and_increasing(kind, dtype):
    conditional, parameters, _ = mixture(3, (1,), kind=kind)
    parameters = parameters.to(dtype).expand(-1, 2001).clone()
    parameters.requires_grad_()
    x = torch.linspace(-1e4, 1e4, 2001, dtype=dtype).requires_grad_()
    z, slope = conditional.forward(x, parameters)
    assert z.isfinite().all() and slope.isfinite().all()
    assert (z.diff() > 0).all()
    (z.sum() + slope.sum()).backward()
    assert x.grad.isfinite().all() and parameters.grad.isfinite().all()


@BOTH
@pytest.mark.parametrize("components", [1, 3])
def test_gradients_of_both_directions(kind, components):
    """Against finite differences; bisection itself has no gradient."""
    conditional, parameters, _ = mixture(components, (4,), kind=kind)
    v = torch.tensor([-2.5, -0.4, 0.7, 2.0], dtype=torch.float64)
    v.requires_grad_()
    parameters.requires_grad_()
    for name in ("forward", "inverse"):
        function = getattr(conditional, name)
        assert torch.autograd.gradcheck(function, (v, parameters))


@BOTH
def test_slope_is_the_derivative(kind):
    conditional, parameters, _ = mixture(4, (50,), kind=kind)
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
    with pytest.raises(ValueError, match="bound = 0"):
        Affine(bound=0)


def test_scales_are_bounded():
    parameters = torch.tensor([0.0, 1e9])[:, None].expand(2, 3)
    x = torch.tensor([-1e3, 0.0, 1e3])
    for name in ("forward", "inverse"):
        value, ladj = getattr(Affine(), name)(x, parameters)
        assert value.isfinite().all() and ladj.abs().max() <= Affine().bound


def test_bound_is_that_of_the_instance():
    """Log-scales of -9, which 16-bit sound needs, can be reached."""
    raw = torch.tensor([-1e9, 1e9])
    assert Affine().log_scale(raw).tolist() == [-3, 3]
    assert LogisticMixture(1, bound=10).log_scale(raw).tolist() == [-10, 10]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_digits_are_lost_far_from_the_logistic(dtype):
    """Equal components are one logistic: z = u, and the slope is exp(-s).

    log f - log F - log(1 - F), of terms as large as |u|, would lose them.
    """
    x = torch.linspace(-1000, 1000, 400, dtype=dtype)
    parameters = torch.zeros(9, 400, dtype=dtype)
    parameters[:3] = torch.randn(3, 1, dtype=dtype)
    parameters[6:] = -1.3
    conditional = LogisticMixture(3)
    z, slope = conditional.forward(x, parameters)
    log_weight, _, s = conditional._split(parameters)
    u = x * (-s[0]).exp()
    tolerance = 16 * torch.finfo(dtype).eps
    assert ((slope + s[0]).abs() <= tolerance).all()
    assert ((z - u).abs() <= tolerance * (1 + u.abs())).all()

    below, above = (conditional.log_cdf(sign * u) for sign in (1, -1))
    log_f = (log_weight - s + below + above).logsumexp(0)
    log_tails = [(log_weight + tail).logsumexp(0) for tail in (below, above)]
    assert (log_f - sum(log_tails) + s[0]).abs().max() > tolerance


def test_bisection_serves_wide_and_narrow_components_at_once():
    """The bracket comes from one component, the digits from another."""
    conditional = LogisticMixture(2, bound=9.0)
    z = torch.linspace(-20, 20, 101, dtype=torch.float64)
    one = torch.tensor([8.0, -8.0, 0.1, 0.0, -1e3, 1e3], dtype=torch.float64)
    parameters = one[:, None].expand(-1, 101)
    x, _ = conditional.inverse(z, parameters)
    again, slope = conditional.forward(x, parameters)
    # x is rounded, and the map stretches that by its slope
    eps = torch.finfo(torch.float64).eps
    tolerance = 32 * eps * (1 + z.abs() + slope.exp() * x.abs())
    assert slope.max() > 8.9
    assert ((again - z).abs() <= tolerance).all()


def test_scale_and_shift_is_affine_the_other_way_round():
    x = torch.randn(9, dtype=torch.float64)
    raw, t = torch.randn(2, 9, dtype=torch.float64)
    for one, other in (("forward", "inverse"), ("inverse", "forward")):
        ours = getattr(ScaleShift(), one)(x, torch.stack([raw, t]))
        affine = getattr(Affine(), other)(x, torch.stack([t, raw]))
        for a, b in zip(ours, affine):
            assert torch.equal(a, b)


def test_chain_splits_its_parameters():
    mixed = Chain(LogisticMixture(2), Shift(), ScaleShift())
    assert mixed.outputs == len(mixed.start()) == 9
    x = torch.randn(5, dtype=torch.float64)
    parameters = torch.randn(9, 5, dtype=torch.float64)
    z, ladj = mixed.forward(x, parameters)
    first, slope = LogisticMixture(2).forward(x, parameters[:6])
    last, s = ScaleShift().forward(first + parameters[6], parameters[7:])
    assert torch.equal(z, last) and torch.equal(ladj, slope + s)


@BOTH
def test_a_narrow_component_keeps_its_digits_beside_a_wide_one(kind):
    """The wide one sets the bracket, the narrow one the slope."""
    log_weight, mean, raw = (0.0, -40.0), (0.0, 0.0), (-1e9, 1e9)
    column = torch.tensor([*log_weight, *mean, *raw], dtype=torch.float64)
    parameters, conditional = column[:, None].expand(-1, 9), kind(2)
    z = torch.linspace(-2, 2, 9, dtype=torch.float64)
    x, _ = conditional.inverse(z, parameters)
    verify.equal("", "", conditional.forward(x, parameters)[0], z, 256)
