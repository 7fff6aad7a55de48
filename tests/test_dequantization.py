"""The bound, its gap, and the discrete model behind it."""

import math

import pytest
import torch
from support import cases, randomize

from dgm_course import flows, verify
from dgm_course.dequantization import (
    Dequantized,
    Dequantizer,
    PixelEncoder,
    Uniform,
    Variational,
    inside,
    variational,
)
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


class Picture(torch.nn.Module):
    """The context of each picture: itself, scaled."""

    def forward(self, x):
        return x / 128 - 1


def noise_1d():
    """q(u|x) for one pixel: a Gaussian through a sigmoid."""
    conditional = flows.Affine()
    flow = flows.Compose(
        flows.Logit(levels=1, alpha=0),
        flows.MAF(1, (8,), context=1, conditional=conditional),
    )
    density = flows.FlowModel(flow, flows.StandardNormal(1))
    return randomize(Variational(density, Picture()).double(), std=0.4)


def test_variational_noise_has_the_density_that_it_states():
    """Any moment of u, from samples and from an integral of q(u|x)."""
    noise = noise_1d()
    for level in (0, 255):
        x = torch.full((100_000, 1), level, dtype=torch.float64)
        with torch.no_grad():
            u, log_q = noise(x)
            again = noise.density.log_prob(u, noise.encoder(x))
            q = noise.density.log_prob(NODES[:, None], noise.encoder(x[:64]))
        torch.testing.assert_close(log_q, again, rtol=1e-9, atol=1e-9)
        verify.expectation("q", "mean", u[:, 0], WEIGHTS @ (q.exp() * NODES))
        verify.expectation("q", "entropy", -log_q, -WEIGHTS @ (q.exp() * q))
        verify.equal(
            "q", "integral", WEIGHTS @ q.exp(), torch.ones(()).double()
        )


def test_the_variational_bound_has_the_gap_of_its_theorem():
    """log P(x) - ELBO = KL(q(u|x) || p(u|x)), for one pixel."""
    model = Dequantized(model_1d(), noise_1d())
    for level in (2, 5):
        pixels = torch.full((100_000, 1), level, dtype=torch.uint8)
        log_P = exact_log_P(model.model.p, torch.tensor([level]))[0]
        context = model.dequantizer.encoder(pixels[:64].double())
        with torch.no_grad():
            log_q = model.dequantizer.density.log_prob(NODES[:, None], context)
            elbo = model.elbo(pixels)
            bound = model.iw_bound(pixels[:20_000], 16)
        log_p = model.model.p.log_prob(level + NODES)
        kl = WEIGHTS @ (log_q.exp() * (log_q - log_p + log_P))
        verify.expectation("elbo", "gap", log_P - elbo, kl)
        verify.mean_at_most("elbo", "tighter", bound, log_P)
        gap, se = verify.mean_and_se(log_P - bound)
        assert gap + 5 * se < kl


def test_the_gradient_of_the_variational_bound_is_pathwise():
    """Against finite differences with the same noise."""
    model = Dequantized(model_1d(), noise_1d())
    pixels = torch.full((50, 1), 4, dtype=torch.uint8)

    def bound():
        torch.manual_seed(0)
        return model.elbo(pixels).mean()

    bound().backward()
    step = 1e-5
    for parameter in model.dequantizer.parameters():
        found = parameter.grad.flatten()[0].item()
        value = parameter.data.flatten()[:1]
        value += step
        above = bound().item()
        value -= 2 * step
        below = bound().item()
        value += step
        # third derivatives, a few at most, times step**2; cancellation
        assert abs((above - below) / (2 * step) - found) < 1e-8


def test_noise_of_pictures_stays_in_its_cube():
    density = flows.FlowModel(cases.dequantizer(), flows.StandardNormal(32))
    encoder = torch.nn.Conv2d(2, 3, 3, padding=1)
    noise = randomize(Variational(density, encoder), std=0.5)
    x = torch.randint(0, 256, (200, 2, 4, 4)).float()
    torch.manual_seed(1)
    u, log_q = noise(x)
    assert u.shape == x.shape and log_q.shape == (200,)
    assert u.min() >= 0 and u.max() < 1
    assert (u > 1 - 1e-6).any()  # the edge is reached
    assert torch.equal(inside(x, u).floor(), x)
    (u.sum() + log_q.sum()).backward()
    assert all(p.grad.abs().sum() > 0 for p in noise.parameters())
    # and it looks: the same noise becomes another u beside another picture
    torch.manual_seed(1)
    changed = (noise(255 - x)[0] != u).flatten(1).double().mean(1)
    assert (changed > 0.5).all()


@pytest.mark.parametrize("shape", [(1, 6, 8), (3, 4, 4)])
def test_learned_noise_starts_as_uniform_noise(shape):
    """So that a bound starts where that of uniform noise is."""
    noise = variational(shape).double()
    x = torch.randint(0, 256, (2000, *shape)).double()
    u, log_q = noise(x)
    # a sum of D logits and as many logistic densities, each rounded
    assert log_q.abs().max() < 1e-9
    for power in (1, 2, 3):
        moment = 1 / (power + 1)
        verify.expectation("u", "moment", u[:, 0, 0, 0] ** power, moment)


def test_noise_that_leaves_pixels_as_they_are_is_refused():
    """One coupling would learn of every other row alone."""
    with pytest.raises(ValueError, match="couplings = 1; expected at least 2"):
        variational((1, 4, 4), couplings=1)


def test_learned_noise_leaves_its_start():
    """After a first step all parameters have gradients."""
    noise = variational((1, 4, 4))
    x = torch.randint(0, 256, (20, 1, 4, 4)).float()
    optimizer = torch.optim.SGD(noise.parameters(), lr=1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        u, log_q = noise(x)
        (log_q + 40 * u.flatten(1).mean(1)).mean().backward()
        optimizer.step()
    for name, parameter in noise.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_learned_noise_knows_its_density():
    noise = randomize(variational((1, 4, 6)).double(), std=0.1)
    x = torch.randint(0, 256, (9, 1, 4, 6)).double()
    u, log_q = noise(x)
    again = noise.density.log_prob(u, noise.encoder(x))
    torch.testing.assert_close(again, log_q, rtol=1e-8, atol=1e-8)


def test_the_encoder_tells_neighbouring_levels_apart():
    """As numbers they are 1/255 apart; as digits they differ."""
    levels = torch.arange(256.0).view(256, 1, 1, 1)
    context = PixelEncoder(1, 16, 8)(levels).flatten(1)
    apart = torch.cdist(context, context)
    apart.fill_diagonal_(torch.inf)
    assert apart.min() > 0
    # a tenth of what two levels differ by on average
    assert (context[1:] - context[:-1]).norm(dim=1).min() > 0.01
    assert (context[1] - context[0]).norm() > 0.1 * apart[0, 1:].mean()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sum_is_not_rounded_into_the_next_cube(dtype):
    x = torch.arange(256, dtype=dtype)
    most = torch.nextafter(torch.ones(256, dtype=dtype), x.new_zeros(()))
    assert (x + most).floor()[-1] == 256  # what is prevented
    y = inside(x, most)
    assert torch.equal(y.floor(), x)
    assert torch.equal(inside(x, torch.zeros_like(x)), x)

    class Highest(Dequantizer):
        def forward(self, x):
            return torch.full_like(x, most[0].item()), x.new_zeros(len(x))

    class Seen(flows.Flow):
        def forward(self, x, context=None):
            self.x = x
            return x, x.new_zeros(len(x))

        inverse = forward

    flow = Seen()
    density = flows.FlowModel(flow, flows.StandardNormal(1)).to(dtype)
    Dequantized(density, Highest()).elbo(torch.tensor([[255]]))
    assert flow.x.item() < 256


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


@pytest.mark.parametrize("levels", [4, 256])
def test_samples_stay_in_range(levels):
    """Though the density has mass outside of [0, levels]."""
    flow = flows.FlowModel(
        flows.Logit(levels, alpha=0.2), flows.StandardLogistic(1)
    )
    torch.manual_seed(0)
    y = flow.sample(1000).floor()
    torch.manual_seed(0)
    samples = Dequantized(flow, levels=levels).sample(1000)
    assert y.min() < 0 and y.max() > levels - 1
    assert samples.min() == 0 and samples.max() == levels - 1
    kept = (y >= 0) & (y < levels)
    assert torch.equal(samples[kept], y[kept].long())


def test_context_and_temperature_reach_the_density():
    density = randomize(flows.realnvp(4, 2, (8,), context=2)).double()
    model = Dequantized(density)
    context = torch.randn(5, 2, dtype=torch.float64)
    pixels = torch.randint(0, 256, (5, 4))
    torch.manual_seed(1)
    y = inside(pixels.double(), torch.rand_like(pixels.double()))
    expected = density.log_prob(y, context)
    torch.manual_seed(1)
    assert torch.equal(model.elbo(pixels, context), expected)
    torch.manual_seed(1)
    y = density.sample(5, context, temperature=30.0)
    torch.manual_seed(1)
    x = model.sample(5, context, temperature=30.0)
    assert (
        torch.equal(x, y.floor().clamp(0, 255).long())
        and x.unique().numel() > 2
    )


def test_float_input_is_refused():
    with pytest.raises(ValueError, match="takes integers"):
        Dequantized(model_1d()).elbo(torch.zeros(3, 1))
    with pytest.raises(ValueError, match="k must be at least 1"):
        Dequantized(model_1d()).iw_bound(torch.zeros(3, 1).long(), 0)


def test_bits_per_dim_refuses_no_dims():
    with pytest.raises(ValueError, match="positive"):
        bits_per_dim(-1.0, 0)


@pytest.mark.parametrize("value", [-1, 256, 300])
def test_integers_that_are_no_pixels_are_refused(value):
    model = Dequantized(
        flows.FlowModel(flows.Logit(512), flows.StandardNormal(2))
    )
    x = torch.tensor([[0, 255], [value, 3]])
    with pytest.raises(ValueError, match=f"{value}.*expected .* 0, ..., 255"):
        model.elbo(x)
    assert Dequantized(model.model, levels=512).elbo(x.abs()).shape == (2,)
