"""No output of a MADE sees its own variable or a later one."""

import copy
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import randomize
from support.networks import inputs, networks
from torch import nn

from dgm_course import verify
from dgm_course.nn import MADE
from dgm_course.nn.made import spread


def dependence(made):
    """Return max |d out_i / d x_j| over outputs and samples, (D, D)."""
    x, context = inputs(made)
    # summing over the batch loses nothing, since rows do not mix
    jacobian = torch.autograd.functional.jacobian(
        lambda x: made(x, context).sum(1), x
    )
    return jacobian.abs().amax((0, 2))


def assert_autoregressive(made):
    assert (dependence(made).triu() == 0).all()


def assert_complete(made):
    """Every output depends on all variables before it."""
    i, j = torch.tril_indices(made.dim, made.dim, offset=-1)
    assert (dependence(made)[i, j] > 0).all()


def assert_sees_context(made):
    x, context = inputs(made)
    jacobian = torch.autograd.functional.jacobian(
        lambda context: made(x, context).sum(1), context
    )
    assert (jacobian.abs().amax((0, 2, 3)) > 0).all()


@settings(deadline=None, max_examples=50)
@given(networks())
def test_jacobian_is_strictly_triangular(made):
    assert_autoregressive(made)
    x, context = inputs(made)
    assert made(x, context).shape == (made.outputs, 3, made.dim)


@settings(deadline=None, max_examples=50)
@given(networks())
def test_product_of_masks_is_strictly_triangular(made):
    """The entries count the paths from a variable to an output."""
    paths = torch.eye(made.dim, dtype=torch.float64)
    skip = torch.zeros(0)
    for i, layer in enumerate(made.layers):
        new = layer.mask @ paths
        is_hidden = i < len(made.layers) - 1
        paths = new + skip if made.residual and is_hidden and i else new
        skip = paths
    paths = paths.view(made.dim, made.outputs, made.dim)
    assert (paths.amax(1).triu() == 0).all()


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("context", [0, 2])
def test_nothing_is_masked_in_vain(residual, context):
    made = MADE(5, (9, 9), 2, context, nn.Tanh, residual)
    made = randomize(made, std=0.7).double()
    assert_autoregressive(made)
    assert_complete(made)
    if context:
        assert_sees_context(made)


@pytest.mark.parametrize("dim", [1, 4])
@pytest.mark.parametrize("hidden", [(), (1,), (2, 3)])
def test_context_reaches_every_output(dim, hidden):
    assert_sees_context(
        randomize(MADE(dim, hidden, context=2, activation=nn.Tanh)).double()
    )


def good():
    made = MADE(5, (9, 9), 2, 2, nn.Tanh)
    return randomize(made, std=0.7).double()


def mutant(layer, change):
    """A MADE with the mask of one layer recomputed from the degrees."""
    made = good()
    inputs_ = torch.tensor(made.degrees[layer])
    units = [*made.degrees[1:], spread(1, 6, 10)][layer]
    mask = change(torch.tensor(units)[:, None], inputs_)
    assert not torch.equal(made.layers[layer].mask, mask.double())
    made.layers[layer].mask = mask.double()
    return made


def test_wrong_masks_are_caught():
    """The two comparisons of section 4, swapped one at a time."""
    for layer in (0, 1):
        with pytest.raises(AssertionError):
            assert_complete(mutant(layer, torch.gt))
    with pytest.raises(AssertionError):
        assert_autoregressive(mutant(2, torch.ge))
    for layer in (0, 1, 2):
        with pytest.raises(AssertionError):
            assert_autoregressive(mutant(layer, torch.ne))


def test_a_dropped_context_is_caught():
    made = good()
    made.context.weight.data.zero_()
    with pytest.raises(AssertionError):
        assert_sees_context(made)


def total_probability(made):
    """Sum the Bernoulli model with these logits over all binary vectors."""
    x = torch.tensor([*product((0.0, 1.0), repeat=made.dim)]).double()
    (logits,) = made(x)
    bernoulli = torch.distributions.Bernoulli(logits=logits)
    return bernoulli.log_prob(x).sum(1).exp().sum()


def test_binary_model_sums_to_one():
    """The model of the paper: D sigmoids make a distribution on {0, 1}^D."""
    made = randomize(MADE(6, (16, 16)), std=1.0).double()
    verify.equal("", "", total_probability(made), 1.0, roundings=64 * 6)
    last = made.layers[-1]
    own = torch.tensor(made.degrees[-1]) <= torch.arange(1, 7)[:, None]
    last.mask = own.double()
    with pytest.raises(verify.CheckFailed):
        verify.equal("", "", total_probability(made), 1.0, roundings=64 * 6)


def test_masks_move_with_the_weights_and_are_not_saved():
    made = MADE(4, (6,), context=1)
    assert not any("mask" in name for name in made.state_dict())
    assert made.double().layers[0].mask.dtype == torch.float64
    assert made.to("meta").layers[0].mask.device.type == "meta"
    saved = randomize(MADE(4, (6,), context=1))
    loaded = MADE(4, (6,), context=1)
    loaded.load_state_dict(saved.state_dict())
    x, context = torch.randn(3, 4), torch.randn(3, 1)
    assert torch.equal(loaded(x, context), saved(x, context))


def test_no_weight_is_drawn_from_masked_ones():
    """A masked weight changes nothing, whatever its value."""
    made = good()
    x, context = inputs(made)
    other = copy.deepcopy(made)
    for layer in other.layers:
        layer.weight.data += 100 * (1 - layer.mask)
    assert torch.equal(made(x, context), other(x, context))


@given(st.integers(0, 5), st.integers(1, 20), st.integers(1, 40))
def test_degrees_are_spread_evenly(low, width, count):
    degrees = spread(low, low + width, count)
    assert degrees == sorted(degrees) and degrees[0] == low
    assert degrees[-1] < low + width
    counts = [degrees.count(d) for d in range(low, low + width)]
    assert max(counts) - min(counts) <= 1


def test_network_equals_nflows():
    from nflows.transforms.made import MADE as Theirs

    theirs = randomize(
        Theirs(
            6, 11, num_blocks=1, output_multiplier=2, use_residual_blocks=False
        )
    ).double()
    layers = [theirs.initial_layer, theirs.blocks[0].linear, theirs.final_layer]
    order = [layer.degrees.argsort(stable=True) for layer in layers[:2]]
    degrees = [a.degrees[o].tolist() for a, o in zip(layers, order)]
    made = MADE(6, (11, 11), 2, degrees=degrees).double()
    rows, columns = [*order, slice(None)], [slice(None), *order]
    with torch.no_grad():
        for ours, layer, r, c in zip(made.layers, layers, rows, columns):
            ours.weight.copy_(layer.weight[r][:, c])
            ours.bias.copy_(layer.bias[r])
    x = torch.randn(20, 6, dtype=torch.float64)
    expected = theirs(x).view(20, 6, 2).movedim(2, 0)
    verify.equal("", "", made(x), expected, roundings=128)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(dim=0), r"dim = 0; expected at least 1"),
        (dict(hidden=(4, 0)), r"hidden = 0; expected at least 1"),
        (dict(outputs=0), r"outputs = 0; expected at least 1"),
        (dict(degrees=[[1, 2]]), r"lengths \[2\]; .* \[4\]"),
        (dict(degrees=[[1, 2, 1, 2]]), r"degrees\[0\] = .* increasing"),
        (dict(degrees=[[1, 1, 2, 3]]), r"degrees\[0\] holds 3; .* 0, ..., 2"),
        (dict(degrees=[[-1, 1, 2, 2]]), r"degrees\[0\] holds -1"),
        (
            dict(hidden=(4, 3), residual=True),
            r"hidden = \[4, 3\]; .* one width",
        ),
        (
            dict(
                hidden=(2, 2), residual=True, degrees=[[1, 2], [1, 1]]
            ),
            r"degrees\[1\]\[1\] = 1, .* at least 2",
        ),
    ],
)  # fmt: skip
def test_a_network_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MADE(**{"dim": 3, "hidden": (4,), **options})


@pytest.mark.parametrize(
    "x, context, message",
    [
        ((3, 4), (3, 2), r"x has shape \(3, 4\); .* \(B, 3\)"),
        ((3,), (3, 2), r"x has shape \(3,\)"),
        ((3, 3), (3, 1), r"context has shape \(3, 1\); .* \(B, 2\)"),
        ((3, 3), (2, 2), r"context has shape \(2, 2\); .* \(3, 2\)"),
        ((3, 3), None, r"context has shape None; .* \(3, 2\)"),
    ],
)
def test_inputs_of_a_wrong_shape_are_refused(x, context, message):
    made = MADE(3, (4,), context=2)
    context = None if context is None else torch.zeros(context)
    with pytest.raises(ValueError, match=message):
        made(torch.zeros(x), context)


def test_inputs_of_a_wrong_kind_are_refused():
    made, x = MADE(3, (4,)), torch.zeros(2, 3)
    with pytest.raises(ValueError, match=r"context .* expects None"):
        made(x, torch.zeros(2, 1))
    with pytest.raises(ValueError, match=r"float64 .* x.to\(torch.float32\)"):
        made(x.double())
    x[1, 2] = float("nan")
    with pytest.raises(ValueError, match=r"x\[1, 2\] = nan; .* 1 of 6"):
        made(x)
    x[0, 1], x[1, 2] = float("inf"), 0.0
    with pytest.raises(ValueError, match=r"x\[0, 1\] = inf"):
        made(x)


def test_large_finite_inputs_are_accepted():
    """Their sum overflows, they do not."""
    made = MADE(3, (4,))
    assert made(torch.full((2, 3), 3e38)).shape == (1, 2, 3)


def test_works_inside_vmap():
    made = good()
    x, context = inputs(made)
    each = torch.func.vmap(lambda x, c: made(x[None], c[None])[:, 0])
    together = made(x, context).movedim(1, 0)
    verify.equal("", "", each(x, context), together, roundings=128)


def test_compiles_to_one_graph():
    """The check of the input, which needs a value, is left out of it."""
    made = good().float()
    x, context = (part.float() for part in inputs(made))
    compiled = torch.compile(made, fullgraph=True, backend="eager")
    verify.equal("", "", compiled(x, context), made(x, context))
