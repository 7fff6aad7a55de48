"""torch's own tools take the models: compile, export, vmap over weights."""

import copy

import pytest
import torch
from support import randomize
from support.cases import FLOWS
from support.pixel import MODELS as PICTURES
from torch import nn
from torch.export import Dim, export
from torch.func import functional_call, stack_module_state, vmap

from dgm_course import flows, verify
from dgm_course.dequantization import Dequantized
from dgm_course.vae import mlp_vae

EPS = torch.finfo(torch.float64).eps
# one of each kind; the others take minutes
QUICK = {
    *("affine", "maf, residual, context", "maf, mixture", "iaf, context"),
    *("reversible", "glow", "wavenet, context"),
    *("PixelCNN", "Gated PixelCNN, given a label"),
}


class Call(nn.Module):
    """What a model does with its input, as the forward pass of a module."""

    def __init__(self, model, call):
        super().__init__()
        self.model, self.call = model, call

    def forward(self, *given):
        return self.call(self.model, *given)


def density(flow, x, context=None):
    z, ladj = flow(x, context)
    return ladj - 0.5 * z.flatten(1).square().sum(1)


def drawn(name):
    """log p of a model, and a batch for it."""
    if name in FLOWS:
        flow, x, context = FLOWS[name].draw(5)
        call = Call(flow, density)
    else:
        case = PICTURES[name]
        x = torch.randint(0, 5, (5, *case.shape))
        context = case.context(5)
        call = Call(case.draw(), lambda model, *given: model.log_prob(*given))
    return call, (x,) if context is None else (x, context)


def same(found, expected, roundings=256):
    """Up to sums in another order."""
    verify.equal("", "", found, expected, roundings, size=expected.abs().max())


NAMES = pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
        for name in [*FLOWS, *PICTURES]
    ],
)


@NAMES
def test_each_density_compiles_to_one_graph(name):
    call, batch = drawn(name)
    torch._dynamo.reset()
    compiled = torch.compile(call, fullgraph=True, backend="eager")
    same(compiled(*batch), call(*batch))


@NAMES
def test_each_density_is_exported_for_any_number_of_rows(name):
    call, batch = drawn(name)
    rows = Dim("rows", min=2, max=1000)
    shapes = (tuple({0: rows} for _ in batch),)
    program = export(call, batch, dynamic_shapes=shapes).module()
    twice = tuple(torch.cat([part, part]) for part in batch)
    same(program(*twice), call(*twice))


MODELS = {
    "VAE": (lambda: mlp_vae(2, hidden=(8,), shape=(1, 2, 2)), (1, 2, 2)),
    "dequantized": (lambda: Dequantized(flows.maf(4, 2, (8,))), (4,)),
}


@pytest.mark.parametrize("name", MODELS)
def test_bounds_compile_and_export(name):
    """With the noise of an eager run."""
    build, shape = MODELS[name]
    call = Call(randomize(build()).double(), lambda model, x: model.elbo(x))
    x = torch.randint(0, 2, (5, *shape), dtype=torch.uint8)
    torch._dynamo.reset()
    compiled = torch.compile(call, fullgraph=True, backend="eager")
    rows = ({0: Dim("rows", min=2, max=1000)},)
    program = export(call, (x,), dynamic_shapes=(rows,)).module()
    for other, batch in ((compiled, x), (program, torch.cat([x, x]))):
        torch.manual_seed(1)
        expected = call(batch)
        torch.manual_seed(1)
        same(other(batch), expected)


def ensemble(build, call, *given, randomness):
    """Run several models at once, on stacked weights."""
    models = [Call(build(), call) for _ in range(3)]
    state = stack_module_state(models)
    base = copy.deepcopy(models[0])
    run = vmap(
        lambda *state: functional_call(base, state, given),
        randomness=randomness,
    )
    return run(*state), models


@pytest.mark.parametrize("direction", ["forward", "inverse"])
@pytest.mark.parametrize(
    "name", ["affine", "maf, residual, context", "iaf, context", "glow"]
)
def test_flows_of_several_weights_run_at_once(name, direction):
    flow, x, context = FLOWS[name].draw(5)
    given = x if direction == "forward" else flow(x, context)[0]

    def call(model, given):
        return getattr(model, direction)(given, context)[0]

    with torch.no_grad():
        found, models = ensemble(
            lambda: FLOWS[name].draw()[0],
            call,
            given.detach(),
            randomness="error",
        )
        for one, model in zip(found, models):
            expected = model(given)
            tolerance = 1e6 * EPS * expected.abs().max()
            assert (one - expected).abs().max() <= tolerance


@pytest.mark.parametrize("randomness", ["same", "different"])
def test_flows_of_several_weights_are_sampled_at_once(randomness):
    def build():
        return randomize(flows.maf(4, 2, (8,))).double()

    torch.manual_seed(1)
    found, models = ensemble(
        build, lambda model: model.sample(6), randomness=randomness
    )
    with torch.no_grad():
        noise = [m.model.flow(x)[0] for m, x in zip(models, found)]
    alike = (noise[0] - noise[1]).abs().max() < 1e-6
    assert alike == (randomness == "same")
    assert found.shape == (3, 6, 4)
