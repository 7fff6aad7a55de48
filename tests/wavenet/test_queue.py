"""Queues forget nothing: each sample is that of the naive loop."""

import pytest
import torch
from support import randomize

from dgm_course import verify
from dgm_course.likelihoods import Categorical, DiscretizedLogistics
from dgm_course.wavenet import Stream, Teacher, WaveNet, sample, sample_naive


def teacher(likelihood, size=2, dilations=(1, 2, 4), **options):
    torch.manual_seed(0)
    net = WaveNet(1, likelihood.outputs, 4, 5, dilations, size, **options)
    return Teacher(randomize(net).double(), likelihood)


def start_of(likelihood, n, length):
    return torch.randint(likelihood.levels, (n, 1, length))


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("first", [0, 1, 20])
@pytest.mark.parametrize(
    "likelihood", [Categorical(256), DiscretizedLogistics(65_536, 3)]
)
@pytest.mark.parametrize(
    "size, dilations", [(2, (1, 2, 4)), (3, (1, 3)), (1, (1,)), (2, (4,))]
)
def test_samples_are_those_of_the_naive_loop(
    likelihood, size, dilations, first, n
):
    model = teacher(likelihood, size, dilations, local=2, classes=3)
    start = start_of(likelihood, n, first)
    local = torch.randn(n, 2, 5).double()
    label = torch.randint(3, (n,))
    found = []
    for function in (sample, sample_naive):
        torch.manual_seed(1)
        found.append(function(model, start, 30 - first, local, label))
    assert found[0].shape == (n, 1, 30 - first)
    assert torch.equal(*found)
    assert len(found[0].unique()) > 3


def test_without_conditions_and_in_pieces():
    """A stream goes on where it stopped."""
    net = teacher(Categorical(7)).net
    x = torch.randn(2, 1, 25).double()
    stream = Stream(net, 2)
    found = [stream.step(x[..., t], stream.conditions()) for t in range(25)]
    verify.equal("", "steps", torch.stack(found, -1), net(x), 512)
    assert [len(queue) for queue in stream.queues] == [1, 2, 4]


def test_a_step_costs_the_same_at_any_time(monkeypatch):
    """One product per layer and step, however long the past is."""
    net = teacher(Categorical(7)).net
    calls, right = [], torch.addmm
    monkeypatch.setattr(
        torch, "addmm", lambda *a: calls.append(len(a[1])) or right(*a)
    )
    stream = Stream(net, 2)
    for _ in range(10):
        stream.step(torch.zeros(2, 1).double(), stream.conditions())
    assert calls == [2] * (10 * 5)  # three filters, two residuals


def test_gradients_of_a_stream_are_those_of_the_network():
    net = teacher(Categorical(3)).net
    x = torch.randn(2, 1, 12).double().requires_grad_()
    stream = Stream(net, 2)
    steps = [stream.step(x[..., t], stream.conditions()) for t in range(12)]
    inputs = [x, *net.parameters()]
    by_step = torch.autograd.grad(torch.stack(steps, -1).sin().sum(), inputs)
    at_once = torch.autograd.grad(net(x).sin().sum(), inputs)
    for one, other in zip(by_step, at_once, strict=True):
        verify.equal("", "gradient", one, other, 4096)


def test_conditions_of_the_wrong_length_are_refused():
    model = teacher(Categorical(7), local=2)
    start = start_of(model.likelihood, 2, 3)
    for function in (sample, sample_naive):
        with pytest.raises(ValueError, match=r"T' divides T = 10"):
            function(model, start, 7, torch.randn(2, 2, 4).double())
