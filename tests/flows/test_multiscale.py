"""Densities of pictures: squeeze, split, flatten, sample."""

import pytest
import torch
from support import cases, properties, randomize

from dgm_course import flows
from dgm_course.flows import (
    Compose,
    Flatten,
    FlowModel,
    Inverse,
    MultiScale,
    Squeeze,
    StandardNormal,
)

EPS = torch.finfo(torch.float64).eps


def model(context=0):
    flow = cases.two_levels(context)
    return randomize(FlowModel(flow, StandardNormal(32))).double()


def test_squeeze_writes_blocks_into_channels():
    x = torch.arange(32).view(1, 2, 4, 4)
    z, _ = Squeeze()(x)
    assert z.shape == (1, 8, 2, 2)
    for c, i, j in [(0, 0, 0), (0, 0, 1), (1, 1, 0), (1, 1, 1)]:
        block = x[0, c, i::2, j::2]
        assert torch.equal(z[0, 4 * c + 2 * i + j], block)


def test_half_of_the_channels_become_noise_at_each_level():
    x = torch.arange(128).view(2, 1, 8, 8)
    flow = MultiScale([Squeeze(), Squeeze(), Squeeze()], (1, 8, 8))
    z, _ = flow(x)
    one, _ = Squeeze()(x)
    two, _ = Squeeze()(one[:, :2])
    three, _ = Squeeze()(two[:, :4])
    parts = [one[:, 2:], two[:, 4:], three]
    assert torch.equal(z, torch.cat([p.flatten(1) for p in parts], 1))
    assert torch.equal(flow.inverse(z)[0], x)
    assert flow.output_shape((1, 8, 8)) == (64,)


def test_a_dropped_half_is_caught():
    """The log-likelihood of half the values is no log-likelihood."""
    flow, x, context = cases.FLOWS["two levels"].draw()

    class Dropped(MultiScale):
        def forward(self, x, context=None):
            z, ladj = super().forward(x, context)
            return torch.cat([0 * z[:, :16], z[:, 16:]], 1), ladj

    dropped = Dropped([*flow.levels], flow.shape)
    with pytest.raises(AssertionError):
        properties.ladj_is_logdet(dropped, x, context)
    with pytest.raises(AssertionError):
        properties.round_trip(dropped, x, context)


@pytest.mark.parametrize("context", [0, 3])
def test_model_of_pictures(context):
    density = model(context)
    c = torch.randn(5, 3, 4, 4).double() if context else None
    torch.manual_seed(1)
    x, log_p = density.rsample_and_log_prob(5, c)
    assert x.shape == (5, 2, 4, 4) and log_p.shape == (5,)
    torch.manual_seed(1)
    assert torch.equal(x, density.sample(5, c))
    size = properties.condition(density.flow, x.detach(), c)
    size *= 1 + log_p.abs().max().item() + x.abs().max().item() ** 2
    again = density.log_prob(x, c)
    assert (again - log_p).abs().max() <= 256 * EPS * size
    if context:
        assert (density.log_prob(x, c.roll(1, 0)) != again).all()
        with pytest.raises(ValueError, match="context has 4 rows"):
            density.sample(5, c[:4])
    (x.sum() + log_p.sum()).backward()
    assert all(p.grad.abs().sum() > 0 for p in density.parameters())


def test_noise_for_the_cube_stays_inside():
    """Logit(alpha=0) backwards maps all noise into [0, 1]."""
    flow = randomize(cases.dequantizer())
    density = FlowModel(flow, StandardNormal(32))
    u, log_q = density.rsample_and_log_prob(50, torch.randn(50, 3, 4, 4))
    assert u.shape == (50, 2, 4, 4)
    assert u.min() >= 0 and u.max() <= 1 and log_q.isfinite().all()
    middle = flows.Logit(levels=1, alpha=0)(torch.full((1, 1), 0.5))
    assert middle[0].item() == 0
    # dz/dx = 1 / (x (1 - x)) = 4
    assert middle[1].exp().item() == pytest.approx(4, rel=1e-6)


def test_one_way_flows_give_the_density_of_their_samples_only():
    class Doubled(flows.OneWay):
        def inverse(self, z, context=None):
            return two * z, two.log().expand(z.shape[0])

    two = torch.tensor(2.0, dtype=torch.float64)
    density = FlowModel(Doubled(), StandardNormal(1)).double()
    x, log_p = density.rsample_and_log_prob(9)
    expected = torch.distributions.Normal(0.0, two).log_prob(x)[:, 0]
    torch.testing.assert_close(log_p, expected, rtol=1e-14, atol=1e-14)
    with pytest.raises(NotImplementedError, match="Doubled maps noise to data"):
        density.log_prob(x)


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match="3x4 cannot be squeezed"):
        Squeeze()(torch.zeros(2, 1, 3, 4))
    with pytest.raises(ValueError, match=r"level 0 returns .* \(3, 4, 4\)"):
        MultiScale([Compose(), Compose()], (3, 4, 4))
    flow = MultiScale([Squeeze(), Compose()], (1, 4, 4))
    for layer in (flow, Flatten(1, 4, 4)):
        with pytest.raises(ValueError, match=r"expect\w* \(B, 1, 4, 4\)"):
            layer(torch.zeros(2, 1, 4, 6))
    turned = Inverse(Squeeze())
    with pytest.raises(ValueError, match=r"Inverse.*output_shape"):
        turned.output_shape((4, 2, 2))
