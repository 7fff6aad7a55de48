"""Flows that are known from noise to data only."""

import pytest
import torch
from support import properties, randomize
from support.cases import ONE_WAY

from dgm_course import flows, verify
from dgm_course.flows import Compose, Inverse, Planar, Sylvester


@pytest.fixture(params=ONE_WAY)
def case(request):
    """A random flow in float64, noise, and a context."""
    return ONE_WAY[request.param].draw()


def test_the_way_back_is_refused_and_says_why(case):
    flow, z, context = case
    with pytest.raises(NotImplementedError, match=r"use inverse\(z\)"):
        flow(z, context)


def test_ladj_is_logdet_of_autograd(case):
    flow, z, context = case
    properties.ladj_is_logdet(flow.inverse, z, context)


def test_ladj_is_right_far_from_where_training_starts(case):
    flow, z, context = case
    randomize(flow, std=3.0)
    properties.ladj_is_logdet(flow.inverse, z, context)


def test_the_orientation_never_turns(case):
    """A determinant above 0 everywhere, as one-to-one maps have here."""
    flow, z, context = case
    randomize(flow, std=3.0)
    jacobian = properties.jacobian(flow.inverse, z, context)
    assert (jacobian.det() > 0).all()


def test_rows_do_not_mix(case):
    flow, z, context = case
    properties.rows_do_not_mix(flow.inverse, z, context)


def test_dtype_and_batch_of_one(case):
    flow, z, context = case
    one = None if context is None else context[:1].float()
    for value in flow.float().inverse(z[:1].float(), one):
        assert value.dtype == torch.float32 and value.isfinite().all()


def test_meta_device(case):
    flow, z, context = case
    context = None if context is None else context.to("meta")
    for value in flow.to("meta").inverse(z.to("meta"), context):
        assert value.device.type == "meta"


@pytest.mark.parametrize("name", ONE_WAY)
def test_state_dict(name):
    torch.manual_seed(1)
    saved, z, context = ONE_WAY[name].draw()
    torch.manual_seed(2)
    loaded = ONE_WAY[name].build().double()
    loaded.load_state_dict(saved.state_dict())
    torch.testing.assert_close(
        loaded.inverse(z, context), saved.inverse(z, context)
    )


def test_gradient_reaches_every_parameter(case):
    flow, z, context = case
    x, ladj = flow.inverse(z, context)
    (x.square().sum() + ladj.sum()).backward()
    for name, parameter in flow.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("name", ONE_WAY)
def test_starts_as_the_identity(name):
    case = ONE_WAY[name]
    flow, z = case.build().double(), case.data(7, *case.shape)
    context = case.data(7, *case.context) if case.context else None
    x, ladj = flow.inverse(z, context)
    verify.equal("", "x", x, z)
    verify.equal("", "ladj", ladj, 0.0)


@pytest.mark.parametrize("std", [0.3, 3.0, 30.0])
def test_planar_is_one_to_one(std):
    """Bisection along w finds the noise of any x."""
    torch.manual_seed(0)
    flow, z = randomize(Planar(5), std).double(), torch.randn(20, 5).double()
    x, _ = flow.inverse(z)
    _, w, _ = flow.amortized(1, None)
    length = w.norm()
    # all of the line x + s w / |w|; the push is its shadow along w
    low, high = -1e6 * torch.ones(20, 1).double(), 1e6 * torch.ones(20, 1)
    across = z - (z @ w.T) * w / length.square()
    for _ in range(200):
        middle = (low + high) / 2
        found = flow.inverse(across + middle * w / length)[0] @ w.T
        above = found > x @ w.T
        low, high = (
            torch.where(above, low, middle),
            torch.where(above, middle, high),
        )
    back, _ = flow.inverse(across + low * w / length)
    size = x.abs().max().item() * length.item()
    verify.equal("", "x again", back @ w.T, x @ w.T, size=max(1.0, size) ** 2)


def test_planar_without_its_constraint_folds_the_line(monkeypatch):
    """The mutant: u as it is, with w.u = -3."""
    flow = Planar(1).double()
    with torch.no_grad():
        flow.amortized.bias.copy_(torch.tensor([-3.0, 1.0, 0.0]))
    z = torch.linspace(-3, 3, 601).double()[:, None]
    assert (flow.inverse(z)[0].diff(dim=0) > 0).all()
    folded = z - 3 * torch.tanh(z)
    assert (folded.diff(dim=0) < 0).any()
    u, w, _ = flow.amortized(1, None)
    slope = torch.nn.functional.softplus(w * u + flow.shift)
    verify.equal("", "w.u > -1", slope.item(), 1 + flow_push(flow))


def flow_push(flow):
    """w.u of the map as it acts: its slope at the middle, less 1."""
    zero = torch.zeros(1, 1, dtype=torch.float64)
    return flow.inverse(zero)[1].exp() - 1


def test_planar_survives_extreme_parameters():
    """No determinant rounds to 0 in float32."""
    for u in (-1e3, -50.0, 50.0, 1e3):
        flow = Planar(1)
        with torch.no_grad():
            flow.amortized.bias.copy_(torch.tensor([u, 1.0, 0.0]))
        _, ladj = flow.inverse(torch.linspace(-3, 3, 8)[:, None])
        assert ladj.isfinite().all(), u


def test_planar_leaves_u_alone_where_w_is_zero():
    flow = Planar(3)
    with torch.no_grad():
        flow.amortized.bias.copy_(torch.tensor([1.0, 2, 3, 0, 0, 0, 5]))
    x, ladj = flow.inverse(torch.zeros(1, 3))
    verify.equal("", "x", x, torch.tensor([1.0, 2, 3]) * torch.tensor(5).tanh())
    verify.equal("", "ladj", ladj, 0.0)


def test_sylvester_with_one_direction_is_planar():
    torch.manual_seed(0)
    syl = randomize(Sylvester(5, 1)).double()
    v, r, s, b = syl.amortized(1, None)
    first = torch.eye(5).double()[:1]
    q = first - 2 * v[:, :1] / v.square().sum() * v
    r, s = 0.99 * torch.tanh(r / 0.99), 0.99 * torch.tanh(s / 0.99)
    z = torch.randn(7, 5).double()
    t = torch.tanh(s * (z @ q.T) + b)
    verify.equal(
        "", "x = z + u tanh(w.z + b)", syl.inverse(z)[0], z + t * r * q
    )
    verify.equal(
        "", "det", syl.inverse(z)[1], (1 + (1 - t**2) * r * s).log()[:, 0]
    )


def test_the_columns_of_q_are_orthonormal():
    """What Q^T z forgets is left alone, what it keeps is seen at full size."""
    torch.manual_seed(0)
    flow = randomize(Sylvester(5, 2)).double()
    z = torch.randn(50, 5).double()
    push = flow.inverse(z)[0] - z
    assert torch.linalg.matrix_rank(push, rtol=1e-9) == 2
    plane = torch.linalg.svd(push).Vh[:2]
    outside = torch.randn(50, 5).double()
    outside = outside - outside @ plane.T @ plane
    moved = flow.inverse(z + outside)[0] - z - outside
    verify.equal("", "only Q^T z matters", moved, push)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="terms = 6"):
        Sylvester(5, 6)
    with pytest.raises(ValueError, match="reflections = 0"):
        Sylvester(5, 2, reflections=0)
    with pytest.raises(ValueError, match=r"expects \(2, 3\)"):
        Planar(5, 3).inverse(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="expects None"):
        Planar(5).inverse(torch.zeros(2, 5), torch.zeros(2, 3))


def test_as_a_density_it_knows_its_own_samples_only():
    model = flows.FlowModel(Planar(2), flows.StandardNormal(2))
    x, log_p = model.rsample_and_log_prob(3)
    assert x.shape == (3, 2) and log_p.shape == (3,)
    with pytest.raises(NotImplementedError):
        model.log_prob(x)
    turned = Compose(Inverse(Planar(2)))
    assert turned(x)[0].shape == (3, 2)
