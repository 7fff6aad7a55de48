"""The backward pass that computes activations again is plain autograd's."""

import copy
import os

import pytest
import torch
from support import randomize
from torch import nn

from dgm_course.memory import allocated
from dgm_course.reversible import (
    HalfStep,
    ReversibleBlock,
    ReversibleSequence,
)


class Branch(nn.Sequential):
    """Normalization by the batch, dropout, and a kink-free activation."""

    def __init__(self, inputs=3, outputs=3, stride=1, drop=0.3):
        super().__init__(
            nn.Conv2d(inputs, 4, 3, stride, padding=1),
            nn.BatchNorm2d(4),
            nn.Tanh(),
            nn.Dropout(drop),
            nn.Conv2d(4, outputs, 3, padding=1),
        )


def stack(depth=3, store=False, drop=0.3):
    """Blocks, a half step that squeezes, and one that does not."""
    torch.manual_seed(0)
    blocks = [
        ReversibleBlock(Branch(drop=drop), Branch(drop=drop))
        for _ in range(depth)
    ]
    down = HalfStep(Branch(3, 12, 2, drop), squeeze=True)
    last = HalfStep(Branch(12, 12, 1, drop))
    return ReversibleSequence(*blocks, down, last, store=store).double()


def pictures(**options):
    torch.manual_seed(1)
    return torch.randn(5, 6, 4, 4, dtype=torch.float64, **options)


def run(model, x, seed=3):
    """Loss and gradients of parameters and input; buffers afterwards."""
    torch.manual_seed(seed)
    z, _ = model(x)
    torch.rand(7)  # others draw between forward and backward, too
    z.sin().mul(z).sum().backward()
    grads = {k: p.grad for k, p in model.named_parameters()}
    return z.detach(), grads | {"x": x.grad}, dict(model.named_buffers())


def same(a, b):
    """Equal to 1e-12 relative, in the norm of each tensor."""
    assert a.keys() == b.keys()
    for key in a:
        if a[key] is None or b[key] is None:
            assert a[key] is b[key] is None, key
            continue
        size = max(1.0, b[key].double().norm().item())
        assert (a[key] - b[key]).double().norm() <= 1e-12 * size, key


@pytest.mark.parametrize("wants_x", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_gradients_and_statistics_are_those_of_autograd(wants_x, training):
    plain, ours = stack(store=True), stack()
    for model in (plain, ours):
        model.train(training)
    expected = run(plain, pictures(requires_grad=wants_x))
    found = run(ours, pictures(requires_grad=wants_x))
    assert torch.equal(found[0], expected[0])
    same(found[1], expected[1])
    for name, value in expected[2].items():
        assert torch.equal(found[2][name], value), name
        if training and name.endswith("num_batches_tracked"):
            assert value == 1


def test_outside_generator_goes_on_as_if_nothing_happened():
    draws = []
    for store in (True, False):
        run(stack(store=store), pictures())
        draws.append(torch.rand(3))
    assert torch.equal(*draws)


def test_without_dropout_no_state_is_kept():
    z, _ = stack(drop=0.0)(pictures())
    node, states = z.grad_fn.next_functions[1][0], 0
    while node is not None and hasattr(node, "replay"):
        states += node.replay.states is not None
        node = node.next_functions[1][0] if node.next_functions else None
    assert states == 0


def test_frozen_parameters_and_a_frozen_beginning():
    models = stack(store=True), stack()
    for model in models:
        for i, p in enumerate(model.parameters()):
            p.requires_grad_(i % 3 > 0 and i > 20)
    same(*(run(model, pictures())[1] for model in models))


def test_gradients_of_some_inputs_alone():
    models, found = (stack(store=True), stack()), []
    for model in models:
        torch.manual_seed(3)
        z, _ = model(pictures())
        weights = list(model.blocks[2].parameters())
        first = torch.autograd.grad(z.sum(), weights, retain_graph=True)
        again = torch.autograd.grad(z.sum(), list(model.parameters()))
        found.append(dict(enumerate([*first, *again])))
        assert all(p.grad is None for p in model.parameters())
    same(found[1], found[0])


def test_two_batches_before_one_backward_pass():
    grads = []
    for store in (True, False):
        model = stack(store=store)
        torch.manual_seed(3)
        x = pictures()
        (model(x)[0].sum() + model(2 * x)[0].square().sum()).backward()
        grads.append({k: p.grad for k, p in model.named_parameters()})
    same(grads[1], grads[0])


@pytest.mark.parametrize("inside", [False, True])
def test_autocast_is_repeated(inside):
    """bfloat16 products in both passes; backward in or behind the region."""
    grads, dtypes = [], []

    class Watched(nn.Linear):
        def forward(self, x):
            y = super().forward(x)
            dtypes.append(y.dtype)
            return y

    torch.manual_seed(0)
    first = ReversibleSequence(
        *[ReversibleBlock(Watched(3, 3), Watched(3, 3)) for _ in range(3)]
    )
    x = torch.randn(8, 6)
    for store in (True, False):
        model = copy.deepcopy(first)
        model.store = store
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(x)[0].square().sum()
            if inside:
                loss.backward()
        if not inside:
            loss.backward()
        grads.append([p.grad for p in model.parameters()])
    assert dtypes == [torch.bfloat16] * 18
    for a, b in zip(*grads):
        # a rebuilt input may fall to the other side of a bfloat16 rounding
        eps = torch.finfo(torch.bfloat16).eps
        assert a.norm() > 0
        assert (a - b).norm() <= 6 * eps * a.norm()


@pytest.mark.parametrize("depth", [2, 6])
def test_nothing_but_the_output_is_kept(depth):
    """Tensors that autograd saves, beside weights: both halves of the end."""
    kept = []
    model = stack(depth, drop=0.0)
    weights = {p.data_ptr() for p in model.parameters()}

    def pack(x):
        if x.data_ptr() not in weights:
            kept.append(x.numel())
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        z, _ = model(pictures())
    assert sum(kept) == z.numel()


def test_inverse():
    model = randomize(stack()).eval()
    x = pictures()
    z, ladj = model(x)
    back, ladj_back = model.inverse(z)
    assert torch.equal(ladj, torch.zeros(5, dtype=torch.float64))
    assert torch.equal(ladj_back, ladj)
    torch.testing.assert_close(back, x, rtol=1e-10, atol=1e-10)
    assert z.shape[1:] == model.output_shape(x.shape[1:]) == (24, 2, 2)


def test_slides_inverse_with_f_and_g_swapped_is_wrong():
    torch.manual_seed(0)
    block = ReversibleBlock(nn.Linear(3, 3), nn.Linear(3, 3)).double()
    x = torch.randn(20, 6, dtype=torch.float64)
    y1, y2 = block(x)[0].chunk(2, 1)
    right, _ = block.inverse(torch.cat([y1, y2], 1))
    x2 = y2 - block.f.net(y1)
    slide = torch.cat([y1 - block.g.net(x2), x2], 1)
    assert (right - x).abs().max() < 1e-14
    assert (slide - x).abs().max() > 0.1


class Moves(nn.Module):
    def forward(self, x):
        return x.mul_(2)


def small(net):
    return ReversibleSequence(HalfStep(net))


def test_errors_say_what_to_do():
    x = torch.randn(2, 6, requires_grad=True)
    with pytest.raises(ValueError, match="at least one"):
        ReversibleSequence()
    with pytest.raises(ValueError, match=r"\(2, 5\); .* even number"):
        small(nn.Linear(3, 3))(x[:, :5])
    with pytest.raises(ValueError, match=r"shape \(2, 4\), to be added"):
        small(nn.Linear(3, 4))(x)
    with pytest.raises(ValueError, match=r"shape \(2, 1\), to be added"):
        small(nn.Linear(3, 1))(x)
    with pytest.raises(ValueError, match="Moves changes its input in place"):
        small(Moves())(x * 1)
    model = small(nn.Sequential(nn.Linear(3, 3), nn.Dropout()))
    z, _ = model(x)
    model.eval()
    with pytest.raises(RuntimeError, match="between the forward pass and"):
        z.sum().backward()


def test_weights_that_change_in_between_are_noticed():
    model = small(nn.Linear(3, 3))
    z, _ = model(torch.randn(2, 6))
    with torch.no_grad():
        model.blocks[0].net.weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def activations(depth, store):
    """Peak of a step on activations of 2 MiB, parameter gradients made."""

    def net():
        # a 1x1 convolution: what is counted is bytes, and they are the same
        return nn.Sequential(
            nn.Conv2d(16, 16, 1),
            nn.GroupNorm(4, 16),
            nn.ReLU(),
            nn.Conv2d(16, 16, 1),
        )

    torch.manual_seed(0)
    blocks = [ReversibleBlock(net(), net()) for _ in range(depth)]
    model = ReversibleSequence(*blocks, store=store)
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    x = torch.randn(16, 32, 32, 32, requires_grad=True)
    step = allocated(lambda: model(x)[0].sum().backward())
    return step.peak / 2**20


@pytest.mark.parametrize(
    ("shallow", "deep"),
    [(4, 16), pytest.param(16, 64, marks=pytest.mark.slow)],
)
def test_peak_memory_is_flat_in_depth(shallow, deep):
    few, many = activations(shallow, False), activations(deep, False)
    assert many < 18
    assert many < 1.05 * few


def test_the_counter_counts_what_plain_autograd_stores():
    # 1 MiB each, in either half of a block: the inputs of both convolutions
    # and of the normalization
    assert activations(4, True) > 4 * 2 * 3


def averaged(rank, path, results):
    """Two processes, each with half of the rows: mean gradients."""
    os.environ["OMP_NUM_THREADS"] = "1"
    store = torch.distributed.FileStore(path, 2)
    torch.distributed.init_process_group(
        "gloo", store=store, rank=rank, world_size=2
    )
    torch.manual_seed(0)
    model = ReversibleSequence(
        *[ReversibleBlock(nn.Linear(3, 3), nn.Linear(3, 3)) for _ in range(3)]
    ).double()
    parallel = nn.parallel.DistributedDataParallel(model)
    x = torch.arange(24, dtype=torch.float64).view(4, 6).cos()
    parallel(x[2 * rank : 2 * rank + 2])[0].square().sum().backward()
    if rank == 0:
        torch.save([p.grad for p in model.parameters()], results)
    torch.distributed.destroy_process_group()


def test_hooks_see_each_parameter_once():
    """Processes share gradients, and optimizers fuse with it, in hooks."""
    model, seen = stack(), []
    for p in model.parameters():
        p.register_post_accumulate_grad_hook(lambda p: seen.append(id(p)))
    run(model, pictures())
    assert sorted(seen) == sorted(id(p) for p in model.parameters())


@pytest.mark.slow
def test_processes_share_gradients(tmp_path):
    """DistributedDataParallel: half the gradient of all rows together."""
    results = tmp_path / "grads.pt"
    torch.multiprocessing.spawn(
        averaged, (str(tmp_path / "store"), str(results)), nprocs=2
    )
    torch.manual_seed(0)
    model = ReversibleSequence(
        *[ReversibleBlock(nn.Linear(3, 3), nn.Linear(3, 3)) for _ in range(3)],
        store=True,
    ).double()
    x = torch.arange(24, dtype=torch.float64).view(4, 6).cos()
    (0.5 * model(x)[0].square().sum()).backward()
    for found, p in zip(torch.load(results), model.parameters()):
        torch.testing.assert_close(found, p.grad, rtol=1e-12, atol=1e-12)
