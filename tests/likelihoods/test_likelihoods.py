"""Probabilities of integers: they sum to one, to the last digit there is."""

import math

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dgm_course import verify
from dgm_course.likelihoods import (
    Bernoulli,
    Categorical,
    DiscretizedLogistics,
    mu_law,
)
from dgm_course.likelihoods.logistics import log_mass

LIKELIHOODS = {
    "bernoulli": Bernoulli(),
    "categorical": Categorical(7),
    "one logistic": DiscretizedLogistics(7, 1),
    "logistics": DiscretizedLogistics(7, 3),
}
ALL = pytest.mark.parametrize("name", LIKELIHOODS)


def table(likelihood, parameters):
    """Probability of each level for one value with these parameters, (L,)."""
    x = torch.arange(likelihood.levels)[:, None]
    parameters = parameters.view(1, -1).expand(len(x), -1)
    return likelihood.log_prob(x, parameters).exp()


@ALL
def test_probabilities_sum_to_one_and_samples_follow_them(name):
    likelihood = LIKELIHOODS[name]
    parameters = 0.7 * torch.randn(likelihood.outputs).double()
    p = table(likelihood, parameters)
    verify.equal("", "total", p.sum(), 1.0, 64)
    many = parameters.expand(40_000, -1)
    x = likelihood.sample(many)
    assert x.dtype == torch.uint8 and x.shape == (40_000, 1)
    for level, expected in enumerate(p):
        hits = (x == level).double()
        verify.expectation("", f"level {level}", hits, expected)
    levels = torch.arange(likelihood.levels).double()
    mean = likelihood.mean(parameters[None]).squeeze()
    verify.equal("", "mean", mean, (levels * p).sum(), 64)


@ALL
def test_values_are_independent_and_channels_come_in_order(name):
    likelihood = LIKELIHOODS[name]
    parameters = torch.randn(2, likelihood.outputs * 3, 4, 5).double()
    x = torch.randint(likelihood.levels, (2, 3, 4, 5))
    log_p = likelihood.log_prob(x, parameters)
    alone = parameters.unflatten(1, (-1, 3)).movedim(1, 4).flatten(0, 3)
    one_by_one = likelihood.log_prob(x.view(-1, 1), alone).view(2, -1).sum(1)
    verify.equal("", "sum over values", log_p, one_by_one, 512)
    assert likelihood.mean(parameters).shape == x.shape
    assert likelihood.sample(parameters).shape == x.shape
    assert likelihood.log_prob(x[:0], parameters[:0]).shape == (0,)
    small = likelihood.log_prob(x.to(torch.uint8), parameters)
    assert torch.equal(small, log_p)


@ALL
def test_what_is_no_level_is_refused(name):
    likelihood = LIKELIHOODS[name]
    parameters = torch.zeros(1, likelihood.outputs)
    for wrong in (-1, likelihood.levels):
        with pytest.raises(ValueError, match=rf"{wrong} to {wrong}.*takes int"):
            likelihood.log_prob(torch.tensor([[wrong]]), parameters)
    with pytest.raises(ValueError, match="float32"):
        likelihood.log_prob(torch.zeros(1, 1), parameters)
    # where no value may be looked at, the answer is NaN
    compiled = torch.compile(likelihood.log_prob, backend="eager")
    x = torch.tensor([[likelihood.levels], [0]])
    log_p = compiled(x, parameters.expand(2, -1))
    assert log_p.isnan().tolist() == [True, False]


def test_shapes_that_do_not_belong_together_are_refused():
    for likelihood in (Categorical(7), DiscretizedLogistics(7, 3)):
        with pytest.raises(ValueError, match=r"\(2, 5\).*expected \(2, \d"):
            likelihood.log_prob(torch.zeros(2, 3).long(), torch.zeros(2, 5))
    with pytest.raises(ValueError, match="levels = 1"):
        Categorical(1)
    with pytest.raises(ValueError, match="components = 0"):
        DiscretizedLogistics(256, 0)


@pytest.mark.parametrize("log_scale", [-9.0, -3.0, 0.0, 3.0])
@pytest.mark.parametrize("mean", [-1.2, 0.3, 1.0])
def test_65536_probabilities_sum_to_one(log_scale, mean):
    x = torch.arange(65_536)
    one = torch.tensor([mean, log_scale], dtype=torch.float64)[:, None]
    p = log_mass(x, *one, 65_536).exp()
    # each edge is seen from two bins, rounded: |y - mean| / scale times eps,
    # under a density of at most 1/4; the errors of the sum itself come on top
    eps = torch.finfo(torch.float64).eps
    assert abs(p.sum().item() - 1) <= 16 * eps * math.exp(-log_scale) + 64 * eps
    # half a bin off at the ends is seen
    open_ended = p.clone()
    open_ended[-1] = open_ended[-2]
    if mean == 1.0:
        assert abs(open_ended.sum().item() - 1) > 1e-3


def exact(x, mean, log_scale, levels):
    """log(sigmoid(a) - sigmoid(b)) by 60 digits."""
    with mpmath.workdps(60):
        top = levels - 1
        scale = mpmath.exp(mpmath.mpf(log_scale))
        y = mpmath.mpf(2 * x - top) / top - mpmath.mpf(mean)
        half = mpmath.mpf(1) / top
        a, b = (y + half) / scale, (y - half) / scale
        below = [1 / (1 + mpmath.exp(-edge)) for edge in (a, b)]
        above = [1 / (1 + mpmath.exp(edge)) for edge in (a, b)]
        inside = below[0] - below[1] if y < 0 else above[1] - above[0]
        mass = {0: below[0], top: above[1]}.get(x, inside)
        return float(mpmath.log(mass))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(deadline=None)
@given(
    st.sampled_from([2, 256, 65_536]),
    st.floats(0, 1),
    st.floats(-1.5, 1.5),
    st.floats(-9, 3),
)
def test_log_mass_against_many_digits(dtype, levels, place, mean, log_scale):
    x = torch.tensor(round(place * (levels - 1)))
    mean, log_scale = torch.tensor([mean, log_scale], dtype=dtype)
    found = log_mass(x, mean, log_scale, levels).item()
    expected = exact(x.item(), mean.item(), log_scale.item(), levels)
    # y - mean is rounded at the size of y and mean, exp(-s) at s + 1 of its
    # own; the log-mass changes by no more than u and than log(half) do
    s, scale = log_scale.item(), math.exp(log_scale.item())
    size = (2.5 + abs(mean.item())) / scale * (1 + abs(s))
    tolerance = 8 * torch.finfo(dtype).eps * (16 + size)
    assert abs(found - expected) <= tolerance


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_everything_stays_finite(dtype):
    """Scales beyond exp(-9), any level, and the gradients."""
    likelihood = DiscretizedLogistics(65_536, 2, bound=12)
    x = torch.tensor([0, 1, 32_768, 65_534, 65_535]).repeat_interleave(9)
    mean = torch.tensor([-2.0, 0.0, 2.0]).repeat(15).to(dtype)
    raw = torch.tensor([-1e9, -9.0, 1e9]).repeat_interleave(3).repeat(5)
    parameters = torch.stack([0 * mean, 0 * mean, mean, mean, raw, raw], 1)
    parameters = parameters.to(dtype).requires_grad_()
    log_p = likelihood.log_prob(x[:, None], parameters)
    log_p.sum().backward()
    assert log_p.isfinite().all() and (log_p <= 0).all()
    assert parameters.grad.isfinite().all()
    assert likelihood.split(parameters.detach())[2].min() < -9
    assert likelihood.sample(parameters.detach()).dtype == torch.int64


@pytest.mark.parametrize("components", [1, 3])
def test_unit_of_means_and_scales(components):
    """As the same numbers in units of 1, in all that reads parameters."""
    plain = DiscretizedLogistics(65_536, components)
    fine = DiscretizedLogistics(65_536, components, unit=1 / 32)
    given = torch.randn(20, plain.outputs, dtype=torch.float64)
    weights, means, raw = given.split(
        [plain.outputs - 2 * components] + [components] * 2, 1
    )
    bound = plain.bound
    s = bound * (raw / bound).tanh() - math.log(32)
    same = torch.cat([weights, means / 32, bound * (s / bound).atanh()], 1)
    y = 0.1 * torch.randn(20, 1, dtype=torch.float64)
    torch.testing.assert_close(
        fine.log_density(y, given), plain.log_density(y, same)
    )
    x = torch.randint(65_536, (20, 1))
    torch.testing.assert_close(fine.log_prob(x, given), plain.log_prob(x, same))
    with pytest.raises(ValueError, match="unit = 0"):
        DiscretizedLogistics(256, unit=0)


def test_mu_law():
    """Levels come back, sound within half a step, as the paper's formula."""
    codes = torch.arange(256, dtype=torch.uint8)
    for dtype in (torch.float32, torch.float64):
        sound = mu_law.decode(codes, dtype)
        assert torch.equal(mu_law.encode(sound), codes)
        assert sound.abs().max() <= 1 and (sound.diff() > 0).all()
    torch.testing.assert_close(sound, -sound.flip(0))
    x = torch.linspace(-1, 1, 5001, dtype=torch.float64)
    code = mu_law.encode(x).long()
    f = x.sign() * (1 + 255 * x.abs()).log() / math.log(256)
    rounding = 255 * 8 * torch.finfo(x.dtype).eps
    assert (255 / 2 * (f + 1) - code).abs().max() <= 0.5 + rounding
    # the sound lies between its neighbours, but for the rounding of exp
    low = torch.cat([sound[:1], sound])[code]
    high = torch.cat([sound, sound[-1:]])[code + 1]
    assert (low - rounding <= x).all() and (x <= high + rounding).all()
    for wrong in (torch.tensor([1.5]), torch.tensor([3], dtype=torch.int16)):
        with pytest.raises(ValueError, match="divide 16-bit"):
            mu_law.encode(wrong)


def test_density_is_the_limit_of_narrow_bins():
    """And integrates to one, as its sigmoids do over bins."""
    likelihood = DiscretizedLogistics(65_536, 3)
    parameters = 0.5 * torch.randn(1, 9).double()
    verify.integral(
        "",
        "total",
        lambda y: likelihood.log_density(
            y, parameters.expand(len(y), -1)
        ).exp()[:, 0],
        [(-math.inf, math.inf)],
        points=2000,
    )
    x = torch.randint(1, 65_535, (50, 1))
    many = parameters.expand(50, -1)
    bins = likelihood.log_prob(x, many) - math.log(2 / 65_535)
    density = likelihood.log_density(2 * x.double() / 65_535 - 1, many)[:, 0]
    # a midpoint sum: the curvature is bounded by that of the narrowest
    scale = likelihood.split(parameters)[2].exp().min()
    allowed = (2 / 65_535 / scale) ** 2
    assert (bins - density).abs().max() <= allowed
