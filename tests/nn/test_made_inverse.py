"""Three ways to run a MADE along its order, one result."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import randomize
from support.networks import inputs, networks
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dgm_course.nn import MADE, made_inverse

EPS = torch.finfo(torch.float64).eps


def shift(z, parameters):
    """x = z + the sum of all parameters: unit Jacobian."""
    return z + parameters.sum(0), torch.zeros_like(z)


def scale(z, parameters):
    """Scales between 1/e and e, and no two dimensions alike."""
    s = parameters.sum(0).tanh()
    return z * s.exp() + parameters[0], s


def close(one, other, amplification):
    """The same x and ladj up to rounding, which later variables amplify."""
    for a, b in zip(one, other):
        size = max(1.0, a.abs().max().item())
        assert (a - b).abs().max() <= 128 * EPS * size * amplification


def amplification(made, invert, z, context):
    """Largest row sum of dx/dz: what a rounding of x_i does downstream."""
    jacobian = torch.autograd.functional.jacobian(
        lambda z: made_inverse.textbook(made, invert, z, context)[0].sum(0), z
    )
    return max(1.0, jacobian.abs().sum((0, 2)).max().item() * made.dim)


@settings(deadline=None, max_examples=50)
@given(networks(), st.sampled_from([shift, scale]), st.integers(1, 9))
def test_blocked_and_jacobi_equal_textbook(made, invert, block):
    z, context = inputs(made, n=2)
    textbook = made_inverse.textbook(made, invert, z, context)
    blocked = made_inverse.blocked(made, invert, z, context, block)
    *jacobi, sweeps = made_inverse.jacobi(made, invert, z, context)
    factor = amplification(made, invert, z, context)
    close(blocked, textbook, factor)
    close(jacobi, textbook, factor)
    assert 1 <= sweeps <= made.dim


@settings(deadline=None, max_examples=50)
@given(networks())
def test_result_solves_the_equations(made):
    """x_i = g(z_i, parameters_i(x)) with the parameters of one full pass."""
    z, context = inputs(made)
    x, ladj = made_inverse.blocked(made, scale, z, context)
    again, slopes = scale(z, made(x, context))
    close((x, ladj), (again, slopes.sum(1)), 1.0)


@pytest.mark.parametrize("dim, width", [(50, 20), (20, 50), (1, 3)])
@pytest.mark.parametrize("residual", [False, True])
def test_large_networks(dim, width, residual):
    made = MADE(dim, (width,) * 3, 2, 2, residual=residual).double()
    for layer in made.layers:
        layer.weight.data *= 1.5
    z, context = inputs(made)
    textbook = made_inverse.textbook(made, scale, z, context)
    for block in (1, 8, 1000):
        blocked = made_inverse.blocked(made, scale, z, context, block)
        close(blocked, textbook, dim)


@pytest.mark.parametrize("dim, width", [(24, 24), (24, 8), (8, 24)])
def test_blocked_does_the_work_of_one_pass(dim, width):
    """Counted, not timed: each unit is computed once."""
    made, z = MADE(dim, (width, width), 2), torch.randn(8, dim)
    with FlopCounterMode(display=False) as one_pass:
        made(z)
    with FlopCounterMode(display=False) as blocked:
        made_inverse.blocked(made, scale, z)
    with FlopCounterMode(display=False) as textbook:
        made_inverse.textbook(made, scale, z)
    flops = one_pass.get_total_flops()
    assert 0 < blocked.get_total_flops() <= flops
    assert textbook.get_total_flops() == dim * flops


def test_few_dependencies_take_few_sweeps():
    """Columns 4, ..., 9 that see columns 1, 2, 3 alone, as in a coupling."""
    made = randomize(MADE(9, (8,), 2, degrees=[[3] * 8]).double())
    z, _ = inputs(made)
    x, ladj, sweeps = made_inverse.jacobi(made, scale, z)
    assert sweeps == 3  # two, and one that finds nothing to change
    close((x, ladj), made_inverse.textbook(made, scale, z), 1.0)


def test_jacobi_survives_entries_that_explode():
    """x_i = z_i - x_1 - ... - x_{i-1}, with binomials on the way."""
    dim = 200
    made = MADE(dim, ())
    nn.init.constant_(made.layers[0].weight, -1.0)
    nn.init.zeros_(made.layers[0].bias)
    z = torch.randint(-9, 9, (3, dim)).float()  # sums without rounding
    x, _, sweeps = made_inverse.jacobi(made, shift, z)
    expected = z - torch.cat([torch.zeros(3, 1), z[:, :-1]], 1)
    assert torch.equal(x, expected) and sweeps > dim // 2
    assert torch.equal(made_inverse.textbook(made, shift, z)[0], expected)
    assert torch.equal(made_inverse.blocked(made, shift, z)[0], expected)


def test_tolerance_stops_early():
    made = randomize(MADE(30, (30,), 2), std=0.3).double()
    z, _ = inputs(made)
    exact, _, sweeps = made_inverse.jacobi(made, scale, z)
    rough, _, fewer = made_inverse.jacobi(made, scale, z, tolerance=1e-3)
    assert fewer < sweeps and not torch.equal(rough, exact)


def test_binary_sampling():
    """The same functions sample a model of bits, z being uniform noise."""
    made = randomize(MADE(12, (20, 20)), std=1.0).double()

    def draw(u, logits):
        p = torch.sigmoid(logits[0])
        x = (u < p).to(u)
        return x, torch.where(x > 0, p, 1 - p).log()

    u = torch.rand(50, 12, dtype=torch.float64)
    x, log_p = made_inverse.blocked(made, draw, u)
    assert torch.equal(x, made_inverse.textbook(made, draw, u)[0])
    assert set(x.unique().tolist()) == {0.0, 1.0}
    bernoulli = torch.distributions.Bernoulli(logits=made(x)[0])
    close((log_p,), (bernoulli.log_prob(x).sum(1),), 1.0)


@pytest.mark.parametrize("solve", ["textbook", "jacobi", "blocked"])
def test_edge_cases(solve):
    solve, made = getattr(made_inverse, solve), MADE(3, (4,), 2)
    x, ladj, *_ = solve(made, scale, torch.zeros(0, 3))
    assert x.shape == (0, 3) and ladj.shape == (0,)
    with pytest.raises(ValueError, match=r"z\[0, 1\] = nan"):
        solve(made, scale, torch.tensor([[0.0, float("nan"), 0.0]]))
    with pytest.raises(ValueError, match=r"z has shape \(2, 4\)"):
        solve(made, scale, torch.zeros(2, 4))


def test_only_the_textbook_is_differentiable():
    made, z = MADE(3, (4,), 2), torch.zeros(2, 3, requires_grad=True)
    assert made_inverse.textbook(made, scale, z)[0].requires_grad
    assert not made_inverse.blocked(made, scale, z)[0].requires_grad
    assert not made_inverse.jacobi(made, scale, z)[0].requires_grad


def test_a_block_of_no_stages_is_refused():
    made, z = MADE(4, (8,), 2), torch.zeros(2, 4)
    with pytest.raises(ValueError, match="block = 0; expected at least 1"):
        made_inverse.blocked(made, lambda z, p: (z, z), z, block=0)
