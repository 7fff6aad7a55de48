"""MAF and IAF: triangular, exact in both directions, dual to each other."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import properties, randomize
from support.properties import jacobian
from torch import nn
from torch.distributions import MultivariateNormal, kl_divergence

from dgm_course import flows, verify
from dgm_course.flows import IAF, MAF, FlowModel, GaussianMixture, maf
from dgm_course.nn import MADE

EPS = torch.finfo(torch.float64).eps


def random_maf(dim=4, hidden=(12, 12), **options):
    return randomize(MAF(dim, hidden, **options), std=0.5).double()


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def condition(flow, x, context=None):
    return properties.condition(flow, x, context)


def close(a, b, amplification=1.0):
    size = max(1.0, b.abs().max().item())
    assert (a - b).abs().max() <= 256 * EPS * size * amplification


@settings(deadline=None, max_examples=25)
@given(
    st.integers(1, 6),
    st.lists(st.integers(1, 9), max_size=2),
    st.integers(0, 2),
    st.integers(0, 2**31),
)
def test_jacobian_is_triangular_in_the_order_of_the_flow(
    dim, hidden, context, seed
):
    torch.manual_seed(seed)
    order = flows.Permutation.random(dim, seed)
    flow = flows.Compose(order, random_maf(dim, hidden, context=context))
    x, c = normal(3, dim), normal(3, context) if context else None
    matrix = jacobian(flow, x, c)[:, :, order.order]
    assert (matrix.triu(1) == 0).all()
    assert (matrix.diagonal(dim1=1, dim2=2) > 0).all()
    ladj = matrix.diagonal(dim1=1, dim2=2).log().sum(1)
    close(flow(x, c)[1], ladj)


BOX = [(-20.0, 20.0)] * 2
MODELS = {
    "gaussian MADE": dict(layers=1),
    "reversed": dict(layers=3),
    "shuffled": dict(layers=3, order="random"),
    "residual": dict(layers=2, residual=True),
    "MADE MoG": dict(layers=1, components=3),
    "MAF MoG": dict(layers=2, components=3),
}


def integrate(model):
    return verify.integral(
        "", "", lambda x: model.log_prob(x).exp(), BOX, points=300
    )


@pytest.mark.parametrize("name", MODELS)
def test_density_integrates_to_one(name):
    # smooth, for the sake of the midpoint rule
    model = maf(2, hidden=(8, 8), activation=nn.Tanh, **MODELS[name])
    model = randomize(model, std=0.15).double()
    integrate(model)
    model.flow = WrongSign(model.flow)
    with pytest.raises(verify.CheckFailed):
        integrate(model)


class WrongSign(flows.Compose):
    """A mutant: the log-determinant of the other direction."""

    def forward(self, x, context=None):
        z, ladj = super().forward(x, context)
        return z, -ladj

    def inverse(self, z, context=None):
        x, ladj = super().inverse(z, context)
        return x, -ladj


def test_a_wrong_sign_is_caught():
    flow = WrongSign(random_maf())
    x = normal(7, 4)
    with pytest.raises(AssertionError):
        properties.ladj_is_logdet(flow, x, None)
    with pytest.raises(AssertionError):
        properties.ladj_is_logdet(flow.inverse, x, None)


def test_a_permutation_that_is_not_undone_is_caught():
    """A reversal would hide it, being its own inverse."""
    order = flows.Permutation([1, 2, 3, 4, 0])
    flow = flows.Compose(random_maf(5), order, random_maf(5)).double()
    properties.round_trip(flow, normal(7, 5), None)
    order.undo = order.order
    with pytest.raises(AssertionError):
        properties.round_trip(flow, normal(7, 5), None)


def test_a_dropped_context_is_caught():
    flow, x = random_maf(context=2), normal(7, 4)
    context = normal(7, 2)
    z, _ = flow(x, context)
    assert (flow(x, context.roll(1, 0))[0] != z).all()
    close(flow.inverse(z, context)[0], x, 100)
    with pytest.raises(AssertionError):
        close(flow.inverse(z, context.roll(1, 0))[0], x, 100)


@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("context", [0, 2])
def test_three_inverses_agree(components, context):
    flow = random_maf(
        conditional=GaussianMixture(components) if components > 1 else None,
        context=context,
    )
    x, c = normal(9, 4), normal(9, context) if context else None
    z, ladj = flow(x, c)
    amplification = condition(flow, x, c)
    for method in ("inverse", "inverse_textbook", "inverse_jacobi"):
        back, ladj_back, *_ = getattr(flow, method)(z, c)
        close(back, x, amplification)
        close(ladj_back, -ladj, amplification)


def gradients(flow, inverse, z, context):
    """Gradients of an arbitrary loss in x and ladj, by z and all weights."""
    x, ladj = inverse(z, context)
    weights = torch.linspace(-1, 1, len(z), dtype=z.dtype)
    loss = x.sin().sum() + (weights * ladj).sum()
    sources = [z, *([] if context is None else [context]), *flow.parameters()]
    return torch.autograd.grad(loss, sources)


@pytest.mark.parametrize("hidden", [(), (3,), (12, 12)])
@pytest.mark.parametrize("components", [1, 3])
def test_gradient_of_inverse_is_that_of_the_textbook_loop(hidden, components):
    conditional = GaussianMixture(components) if components > 1 else None
    flow = random_maf(5, hidden, context=2, conditional=conditional)
    z, context = normal(9, 5), normal(9, 2)
    z.requires_grad_()
    context.requires_grad_()
    implicit = gradients(flow, flow.inverse, z, context)
    unrolled = gradients(flow, flow.inverse_textbook, z, context)
    amplification = condition(flow, flow.inverse(z, context)[0], context)
    for one, other in zip(implicit, unrolled):
        close(one, other, amplification)


def test_a_detached_inverse_is_caught():
    flow, z = random_maf(), normal(9, 4).requires_grad_()

    def detached(z, context):
        x, _ = flow.inverse(z.detach())
        return x.detach() + (z - z.detach()), -flow(x.detach())[1]

    wrong = gradients(flow, detached, z, None)
    right = gradients(flow, flow.inverse_textbook, z, None)
    with pytest.raises(AssertionError):
        close(wrong[0], right[0], 100)


def test_derivatives_that_would_be_wrong_are_refused():
    """The implicit gradient is a first derivative, in reverse mode."""
    torch.manual_seed(0)
    flow, z = randomize(MAF(3, (8,)), 0.5), torch.randn(1, 3)
    z.requires_grad_()
    with pytest.raises(RuntimeError, match="jvp"):
        torch.func.jacfwd(lambda z: flow.inverse(z)[0])(z)
    (slope,) = torch.autograd.grad(
        flow.inverse(z)[0].sin().sum(), z, create_graph=True
    )
    with pytest.raises(RuntimeError, match="first derivatives only"):
        slope.sum().backward()


def test_sampling_can_be_trained():
    """Reverse KL: both terms reach the weights, and x stays the sample."""
    model = randomize(maf(3, 2, (8,)), std=0.4).double()
    torch.manual_seed(1)
    x, log_q = model.rsample_and_log_prob(50)
    torch.manual_seed(1)
    assert torch.equal(x, model.sample(50))
    close(log_q, model.log_prob(x), 100)
    gradient = torch.autograd.grad(x.sum(), x, retain_graph=True)[0]
    assert (gradient == 1).all()  # not that of the noise
    (log_q + 0.5 * x.square().sum(1)).mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


def test_float32_round_trip():
    model = randomize(maf(30, 5, (40, 40)), std=0.1)
    x = torch.randn(64, 30)
    z, ladj = model.flow(x)
    back, ladj_back = model.flow.inverse(z)
    flow = copy.deepcopy(model).double().flow
    exact, exact_ladj = flow(x.double())
    roundings = 5 * (30 + 40 + 40 + 6)  # terms behind each value
    eps = torch.finfo(torch.float32).eps * condition(flow, x.double())
    for a, b in ((back, x), (z, exact), (ladj, exact_ladj), (ladj_back, -ladj)):
        assert (a - b).abs().max() <= roundings * eps * (1 + b.abs().max())


# the theorem on order


def second_difference(order):
    """Of the last noise in the last column: zero if the map is affine."""
    model = randomize(maf(3, 2, (16,), order=order), std=0.7).double()
    x = normal(200, 3)
    step = torch.tensor([0.0, 0.0, 0.5], dtype=torch.float64)
    below, here, above = (model.flow(x + k * step)[0] for k in (-1, 0, 1))
    return (below - 2 * here + above)[:, 2].abs().max()


def test_layers_in_one_order_collapse():
    """Two Gaussian maps in the same order are one Gaussian conditional."""
    assert second_difference("same") < 1000 * EPS
    assert second_difference("reverse") > 0.1


# other libraries


class ZukoAffine(flows.Affine):
    """The same map as in zuko: z = shift + x exp(softclipped scale)."""

    def forward(self, x, parameters):
        shift, raw = parameters
        s = raw / (1 + (raw / math.log(1e-3)).abs())
        return x * s.exp() + shift, s

    def inverse(self, z, parameters):
        shift, raw = parameters
        s = raw / (1 + (raw / math.log(1e-3)).abs())
        return (z - shift) * (-s).exp(), -s


class NflowsAffine(flows.Affine):
    """The same map as in nflows: z = shift + x (softplus(raw) + 0.001)."""

    def forward(self, x, parameters):
        raw, shift = parameters
        scale = torch.nn.functional.softplus(raw) + 1e-3
        return x * scale + shift, scale.log()

    def inverse(self, z, parameters):
        raw, shift = parameters
        scale = torch.nn.functional.softplus(raw) + 1e-3
        return (z - shift) / scale, -scale.log()


def copy_made(layers, dim, context, conditional, reverse=False):
    """Our MAF with the weights of another library's masked layers.

    Theirs are (mask, weight, bias), units in any order: the number of
    variables that a unit sees is its degree.
    """
    columns = torch.arange(dim).flip(0) if reverse else torch.arange(dim)
    seen = torch.eye(dim + context).double()
    order, degrees = [], []
    for mask, _, _ in layers[:-1]:
        seen = (mask.double() @ seen).clamp(max=1)
        count = seen[:, :dim].sum(1).long()
        order.append(count.argsort(stable=True))
        degrees.append(count[order[-1]].tolist())
    flow = MAF(
        dim,
        [len(d) for d in degrees],
        context,
        conditional,
        degrees=degrees,
    ).double()
    rows = columns[:, None] * 2 + torch.arange(2)
    rows = [*order, rows.flatten()]
    inputs = [columns, *order]
    with torch.no_grad():
        for ours, (_, weight, bias), r, c in zip(
            flow.made.layers, layers, rows, inputs
        ):
            ours.weight.copy_(weight[r][:, c])
            ours.bias.copy_(bias[r])
        if context:
            flow.made.context.weight.copy_(layers[0][1][order[0]][:, dim:])
    return flow


def test_maf_equals_zuko():
    import zuko

    theirs = zuko.flows.MAF(5, 2, transforms=3, hidden_features=(15, 15))
    theirs = randomize(theirs).double()
    parts = []
    for i, part in enumerate(theirs.transform.transforms):
        layers = [
            (layer.mask, layer.weight, layer.bias)
            for layer in part.hyper
            if hasattr(layer, "mask")
        ]
        flow = copy_made(layers, 5, 2, ZukoAffine(), reverse=i % 2 == 1)
        turn = [flows.Permutation.reverse(5)] * (i % 2)
        parts += [*turn, flow, *turn]
    ours = FlowModel(flows.Compose(*parts), flows.StandardNormal(5)).double()
    x, context = normal(20, 5), normal(20, 2)
    close(ours.log_prob(x, context), theirs(context).log_prob(x), 10)
    z = theirs(context).transform(x)
    close(ours.flow(x, context)[0], z, 10)
    back = theirs(context).transform.inv(z)
    amplification = condition(ours.flow, x, context)
    close(ours.flow.inverse(z, context)[0], back, amplification)


def test_maf_equals_nflows():
    from nflows.transforms import MaskedAffineAutoregressiveTransform as Theirs

    theirs = Theirs(6, 11, num_blocks=1, use_residual_blocks=False)
    theirs = randomize(theirs).double()
    net = theirs.autoregressive_net
    layers = [net.initial_layer, net.blocks[0].linear, net.final_layer]
    ours = copy_made(
        [(layer.mask, layer.weight, layer.bias) for layer in layers],
        6,
        0,
        NflowsAffine(),
    )
    x = normal(20, 6)
    for a, b in zip(ours(x), theirs(x)):
        close(a, b, 10)
    z = ours(x)[0]
    for a, b in zip(ours.inverse(z), theirs.inverse(z)):
        close(a, b, condition(ours, x))


# chapter 5


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("context", [0, 2])
@pytest.mark.parametrize("hidden", [(7,), (12, 12)])
def test_coupling_is_an_iaf(swap, context, hidden):
    coupling = flows.AffineCoupling(5, hidden, swap, context)
    coupling.conditional = flows.ScaleShift(bound=1.5)
    coupling = randomize(coupling).double()
    iaf = flows.coupling_as_iaf(coupling)
    x, c = normal(20, 5), normal(20, context) if context else None
    for direction in ("forward", "inverse"):
        one = getattr(coupling, direction)(x, c)
        other = getattr(iaf, direction)(x, c)
        for a, b in zip(one, other):
            close(a, b)
    if not swap:
        assert iaf.flow.inverse_jacobi(x, c)[2] <= 3


def test_coupling_without_hidden_layer_is_refused():
    with pytest.raises(ValueError, match="no hidden layer"):
        flows.coupling_as_iaf(flows.AffineCoupling(5, ()))


def test_iaf_conditions_on_the_noise():
    """x_i = z_i / s_i - m_i / s_i, all of it from z_1, ..., z_{i-1}."""
    iaf, z = randomize(IAF(4, (8,))).double(), normal(9, 4)
    mean, raw = iaf.flow.made(z)
    sigma = 1 / iaf.flow.conditional.log_scale(raw).exp()
    x, ladj = iaf.inverse(z)
    close(x, sigma * z - mean * sigma)
    close(ladj, sigma.log().sum(1))
    matrix = jacobian(iaf.inverse, z, None)
    assert (matrix.triu(1) == 0).all()


def dual_pair(dim=3):
    """A MAF model p(x), a data density pi(x), and the density p(z) of f(x)."""
    model = randomize(maf(dim, 2, (8,)), std=0.4).double()
    data = flows.StandardLogistic(dim).double()
    return model, data, FlowModel(flows.Inverse(model.flow), data)


def test_duality_sample_by_sample():
    """log pi(x) - log p(x) = log p(z) - log pi(z) at z = f(x)."""
    model, data, implicit = dual_pair()
    x = data.sample(200)
    z, _ = model.flow(x)
    left = data.log_prob(x) - model.log_prob(x)
    right = implicit.log_prob(z) - model.base.log_prob(z)
    amplification = condition(model.flow, x)
    close(left, right, amplification)
    swapped = model.base.log_prob(z) - implicit.log_prob(z)
    with pytest.raises(AssertionError):
        close(left, swapped, amplification)


def gaussian_flow(dim=3):
    """An affine MAF, z = A x + b, as the networks are constant or linear."""
    flow = randomize(MAF(dim, ()), std=0.5).double()
    with torch.no_grad():
        flow.made.layers[0].weight[1::2] = 0  # log-scales are constants
    return flow


def test_duality_of_gaussians_in_closed_form():
    """KL(pi(x) || p(x)) = KL(p(z) || pi(z)); the KLs swapped differ."""
    flow, dim = gaussian_flow(), 3
    zero, eye = torch.zeros(dim).double(), torch.eye(dim).double()
    b = flow(zero[None])[0][0].detach()
    a = jacobian(flow, zero[None], None)[0].detach()
    # x ~ pi = N(m, C); the model is N(-A^-1 b, (A^T A)^-1); z = A x + b
    m, root = normal(dim), eye + 0.5 * normal(dim, dim).tril()
    data = MultivariateNormal(m, root @ root.T)
    model = MultivariateNormal(
        -torch.linalg.solve(a, b), precision_matrix=a.T @ a
    )
    implicit = MultivariateNormal(a @ m + b, a @ root @ (a @ root).T)
    noise = MultivariateNormal(zero, eye)
    left, right = kl_divergence(data, model), kl_divergence(implicit, noise)
    squared = torch.linalg.cond(a).item() ** 2  # of a.T @ a
    close(left, right, squared)
    assert (kl_divergence(noise, implicit) - left).abs() > 0.01
    # the library's densities are these Gaussians
    x = data.sample((20_000,))
    p = FlowModel(flow, flows.StandardNormal(dim)).double()
    close(p.log_prob(x), model.log_prob(x), 10 * squared)
    ratio = data.log_prob(x) - p.log_prob(x)
    verify.expectation("", "", ratio.detach(), left)


# the builder


def test_untrained_flow_is_the_identity():
    x = torch.randn(9, 4)
    z, ladj = maf(4, 3, (8,), order="same").flow(x)
    assert torch.equal(z, x) and (ladj == 0).all()
    assert maf(4, 2, (8,), components=3).log_prob(x).isfinite().all()


def test_builder():
    model = maf(4, 3, (8,), components=3, preprocess=flows.Logit(levels=1))
    kinds = [type(flow).__name__ for flow in model.flow.flows]
    assert kinds == ["Logit", "MAF", "Permutation", "MAF", "Permutation", "MAF"]
    conditionals = [
        type(flow.conditional).__name__
        for flow in model.flow.flows
        if isinstance(flow, MAF)
    ]
    assert conditionals == ["Affine", "Affine", "GaussianMixture"]
    (made,) = (
        m for m in maf(4, 1, (8,), 3, "same", 1, nn.Tanh, True).modules()
        if isinstance(m, MADE)
    )  # fmt: skip
    assert made.residual and isinstance(made.activation, nn.Tanh)
    with pytest.raises(ValueError, match=r"order = 'up'; expected one of"):
        maf(4, order="up")
    x, context = torch.rand(5, 4), torch.randn(5, 2)
    model = randomize(maf(4, 2, (8,), context=2))
    assert model.sample(5, context).shape == (5, 4)
    with pytest.raises(ValueError, match="context has shape None"):
        model.log_prob(x)


def test_state_dict():
    saved = randomize(maf(4, 3, (8,), order="random", components=2))
    loaded = maf(4, 3, (8,), order="random", components=2)
    loaded.load_state_dict(saved.state_dict())
    x = torch.randn(5, 4)
    assert torch.equal(loaded.log_prob(x), saved.log_prob(x))


def test_one_column():
    """D = 1: a Gaussian whose parameters the context decides."""
    flow = random_maf(1, context=2)
    z, context = normal(9, 1), normal(9, 2)
    x, ladj = flow.inverse(z, context)
    close(flow(x, context)[0], z, 100)
    assert len(ladj.unique()) == 9
    plain = random_maf(1)
    assert len(plain.inverse(z)[1].unique()) == 1
