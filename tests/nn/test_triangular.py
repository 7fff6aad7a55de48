"""Leaving the zeros out changes the work, and nothing else."""

import pytest
import torch
import torch.nn.functional as F
from support import randomize
from torch import nn

from dgm_course.nn import MADE, made, triangular

LAYERS = {
    "first layer": lambda: MADE(5, [12, 12], 2).layers[0].mask,
    "between": lambda: MADE(5, [12, 12], 2).layers[1].mask,
    "outputs": lambda: MADE(5, [12, 12], 2).layers[2].mask,
    "context": lambda: MADE(5, [12], 2, context=3).layers[0].mask,
    "one degree": lambda: MADE(4, [8], degrees=[[2] * 8]).layers[1].mask,
    "fewer rows than blocks": lambda: torch.ones(2, 3).tril(),
    "no staircase": lambda: torch.ones(8, 6).triu(),
}


def drawn(mask, rows=5):
    torch.manual_seed(0)
    weight = mask * torch.randn(mask.shape)
    given = torch.randn(rows, mask.shape[1]), weight, torch.randn(len(mask))
    return [t.double().requires_grad_() for t in given]


def same(found, expected, terms):
    """Sums of so many products, in another order."""
    size = expected.abs().max().clamp(min=1)
    limit = terms * torch.finfo(expected.dtype).eps * size
    assert (found - expected).abs().max() <= limit


@pytest.mark.parametrize("mask", LAYERS.values(), ids=LAYERS)
def test_product_and_gradients_are_those_of_the_plain_one(mask):
    mask = mask()
    x, weight, bias = drawn(mask)
    cut = triangular.stairs(mask)
    found = triangular.linear(x, weight, bias, cut)
    expected = F.linear(x, weight, bias)
    same(found, expected, 64)
    inputs = x, weight, bias
    direction = torch.randn_like(expected)
    ours = torch.autograd.grad(found, inputs, direction)
    theirs = torch.autograd.grad(expected, inputs, direction)
    for a, b, where in zip(ours, theirs, (1, mask, 1)):
        same(a * where, b * where, 64)


@pytest.mark.parametrize("mask", LAYERS.values(), ids=LAYERS)
def test_gradients_can_be_differentiated_and_batched(mask):
    mask = mask()
    x, weight, bias = drawn(mask)
    cut = triangular.stairs(mask)

    def ours(x, weight, bias):
        return triangular.linear(x, mask * weight, bias, cut)

    assert torch.autograd.gradgradcheck(ours, (x, weight, bias))
    some = ours(x, weight, bias).sum(0)
    rows = torch.eye(len(mask), dtype=torch.float64)
    many = torch.autograd.grad(some, x, rows, is_grads_batched=True)[0]
    assert (many == weight[:, None, :]).all()


@pytest.mark.parametrize("mask", LAYERS.values(), ids=LAYERS)
def test_what_is_spared_is_zero(mask):
    mask = mask()
    cut = triangular.stairs(mask)
    first, outside = 0, 0
    for rows, seen in zip(cut.rows, cut.seen):
        block = mask[first : first + rows, seen:]
        assert not block.any()
        outside, first = outside + block.numel(), first + rows
    assert cut.spared() == outside
    assert first == len(mask) and sum(cut.new) == mask.shape[1]


def test_almost_half_of_a_wide_layer_is_spared():
    mask = MADE(63, [512, 512]).layers[1].mask
    assert triangular.stairs(mask).spared() / mask.numel() > 0.36


def wide(**options):
    options = {"hidden": [32, 32], "outputs": 2} | options
    return randomize(MADE(7, **options).double())


@pytest.fixture
def always(monkeypatch):
    """Every network that can skip zeros does, in parts of four samples."""
    monkeypatch.setattr(made, "ENOUGH", 0)
    monkeypatch.setattr(triangular, "SAMPLES", 4)


@pytest.fixture
def count(monkeypatch):
    calls, linear = [], triangular.linear

    def counted(x, *args):
        calls.append(len(x))
        return linear(x, *args)

    monkeypatch.setattr(triangular, "linear", counted)
    return calls


@pytest.mark.parametrize(
    "options",
    [{}, {"context": 3}, {"residual": True}, {"activation": nn.Tanh}],
    ids=str,
)
def test_the_network_computes_the_same(options, always, count, monkeypatch):
    net = wide(**options)
    x = torch.randn(10, 7).double().requires_grad_()
    width = options.get("context", 0)
    context = torch.randn(10, width).double() if width else None
    results = []
    for enough in (0, 10**9):
        monkeypatch.setattr(made, "ENOUGH", enough)
        out = net(x, context)
        inputs = [x, *net.parameters()]
        direction = torch.arange(out.numel()).double().cos().view_as(out)
        results.append([out, *torch.autograd.grad(out, inputs, direction)])
    assert count == [4] * 3 + [4] * 3 + [2] * 3
    for found, expected in zip(*results):
        same(found, expected, 1024)


def test_what_cannot_be_written_in_place_is_computed_plainly(always, count):
    net = wide().float()
    x = torch.randn(8, 7)
    expected = net(x)
    assert len(count) == 6
    count.clear()
    same(torch.func.vmap(net)(x[None])[0], expected, 64)
    same(torch.func.jvp(net, (x,), (x,))[0], expected, 64)
    assert torch.func.grad(lambda x: net(x).sum())(x).shape == x.shape
    with torch.autocast("cpu", torch.bfloat16):
        assert net(x).dtype == torch.bfloat16
    compiled = torch.compile(net, fullgraph=True, backend="eager")
    same(compiled(x), expected, 64)
    assert count == []


@pytest.mark.parametrize(
    ("hidden", "rows", "skips"),
    [
        ([512, 512], 1024, True),
        ([512, 512], 100, False),
        ([64, 64], 1024, False),
    ],
)
def test_only_where_it_pays(hidden, rows, skips, count):
    net = MADE(63, hidden, 2)
    with torch.no_grad():
        net(torch.zeros(rows, 63))
    assert bool(count) == skips
