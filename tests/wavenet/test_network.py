"""Convolutions that see no later sample, and the teacher on top of them."""

import pytest
import torch
from support import randomize

from dgm_course import verify
from dgm_course.likelihoods import Categorical, DiscretizedLogistics
from dgm_course.wavenet import (
    CausalConv,
    Constant,
    LinearPredictor,
    Teacher,
    WaveNet,
    receptive_field,
)
from dgm_course.wavenet.network import DILATIONS


def network(size=2, dilations=(1, 2, 4), **options):
    torch.manual_seed(0)
    net = WaveNet(1, 3, 4, 5, dilations, size, **options)
    return randomize(net).double()


def seen(function, length):
    """Which inputs each output depends on, (T, T): output, input.

    For some of 20 sounds: a ReLU may be dead for one of them.
    """
    x = torch.randn(20, 1, length).double()
    J = torch.autograd.functional.jacobian(lambda x: function(x).sum((0, 1)), x)
    return (J[:, :, 0] != 0).any(1)


@pytest.mark.parametrize(
    "size, dilations", [(2, (1, 2, 4)), (3, (1, 3)), (2, (2, 1)), (1, (1,))]
)
def test_an_output_sees_its_receptive_field_and_no_more(size, dilations):
    net = network(size, dilations)
    field = receptive_field(dilations, size)
    assert net.receptive_field == field
    now = torch.arange(20)
    delay = now[:, None] - now
    assert torch.equal(seen(net, 20), (delay >= 0) & (delay < field))


def test_published_receptive_fields():
    assert receptive_field((1, 2, 4, 8)) == 16
    assert receptive_field(DILATIONS) == 2047
    assert receptive_field(DILATIONS, 3) == 4093


def test_a_causal_convolution_is_the_sum_of_its_taps():
    conv = randomize(CausalConv(2, 3, size=3, dilation=2)).double()
    x = torch.randn(4, 2, 9).double()
    padded = torch.cat([torch.zeros(4, 2, 4).double(), x], -1)
    taps = sum(
        torch.einsum("oi,bit->bot", conv.weight[..., k], late)
        for k, late in enumerate(padded.unfold(-1, 9, 2).unbind(2))
    )
    verify.equal("", "taps", conv(x), taps + conv.bias[:, None])


def test_crops_with_their_context_are_the_whole():
    net = network(local=2, classes=3)
    x, local = torch.randn(2, 1, 24).double(), torch.randn(2, 2, 12).double()
    label = torch.tensor([2, 0])
    whole = net(x, local, label)
    crop = net(x[..., 8:], local[..., 4:], label, context=7)
    verify.equal("", "crop", crop, whole[..., 15:], 512)


def test_a_condition_is_held_and_comes_in_time():
    net = network(local=2)
    x, local = torch.randn(1, 1, 12).double(), torch.randn(1, 2, 4).double()
    held = net(x, local)
    verify.equal("", "", held, net(x, local.repeat_interleave(3, -1)), 512)
    changed = local.clone()
    changed[..., 2] += 1
    moved = (net(x, changed) != held).any(1)[0]
    assert moved.tolist() == [False] * 6 + [True] * 6


def test_a_label_changes_every_output_of_its_row_alone():
    net = network(classes=3)
    x = torch.randn(2, 1, 12).double()
    one = net(x, None, torch.tensor([0, 1]))
    other = net(x, None, torch.tensor([0, 2]))
    assert torch.equal(one[0], other[0])
    assert (one[1] != other[1]).all()


def test_what_does_not_fit_is_refused():
    plain, given = network(), network(local=2, classes=3)
    x, label = torch.randn(2, 1, 12).double(), torch.tensor([0, 1])
    with pytest.raises(ValueError, match=r"expected \(B, 1, T\)"):
        plain(x[:, 0])
    with pytest.raises(ValueError, match="takes none"):
        plain(x, torch.randn(2, 2, 12).double())
    with pytest.raises(ValueError, match=r"T' divides T = 12"):
        given(x, torch.randn(2, 2, 5).double(), label)
    with pytest.raises(ValueError, match=r"label has shape None; expected \(2"):
        given(x)
    with pytest.raises(
        ValueError, match=r"label has shape \(2,\); expected No"
    ):
        plain(x, None, label)
    given(x, None, label)  # nothing is known at any time
    with pytest.raises(ValueError, match="size = 0"):
        network(size=0)


def teacher(levels=5):
    torch.manual_seed(1)
    likelihood = Categorical(levels)
    net = WaveNet(1, levels, 4, 5, (1, 2), local=2)
    return Teacher(randomize(net).double(), likelihood)


def test_a_teacher_sees_earlier_samples_alone():
    model = teacher()
    now = torch.arange(9)
    delay = now[:, None] - now
    found = seen(model.conditionals, 9)
    assert torch.equal(found, (delay >= 1) & (delay <= 4))


def test_probabilities_of_all_sounds_sum_to_one():
    model = teacher()
    every = torch.cartesian_prod(*[torch.arange(5)] * 4)[:, None]
    local = torch.randn(1, 2, 4).double().expand(len(every), -1, -1)
    log_p = model.log_prob(every, local)
    verify.equal("", "sum", log_p.exp().sum(), 1.0, len(every))


def test_log_probs_are_terms_of_log_prob_and_context_is_given():
    model = teacher()
    x = torch.randint(5, (3, 1, 8))
    each = model.log_probs(x)
    verify.equal("", "sum", each.sum(1), model.log_prob(x))
    verify.equal("", "tail", model.log_probs(x, context=3), each[:, 3:])
    table = model.conditionals(model.scaled(x)).log_softmax(1)
    verify.equal("", "by hand", each, table.gather(1, x)[:, 0], 64)


def test_a_linear_predictor_is_linear_and_late():
    torch.manual_seed(0)
    likelihood = DiscretizedLogistics(256, 3)
    model = Teacher(LinearPredictor(2, 3), likelihood)
    randomize(model).double()
    y = torch.randn(2, 1, 7).double()
    weight, constant = model.net.filter.weight[0, 0], model.net.constant
    before = torch.nn.functional.pad(y, (2, 0))
    mean = weight[0] * before[..., :7] + weight[1] * before[..., 1:8]
    found = model.conditionals(y, context=1)
    expected = constant[3:6] + mean
    verify.equal("", "means", found[:, 3:6], expected[..., 1:])
    for part in (slice(0, 3), slice(6, 9)):
        assert (found[:, part] == constant[part]).all()


def test_a_constant_categorical_is_a_histogram():
    """At the frequencies of the data nothing is left to learn."""
    x = torch.tensor([0, 0, 1, 2, 0, 1]).view(1, 1, -1)
    model = Teacher(Constant(3), Categorical(3)).double()
    counts = torch.tensor([3.0, 2, 1]).double()
    model.net.constant.data = counts.log()[:, None]
    found = model.log_prob(x)
    verify.equal("", "", found, (counts * (counts / 6).log()).sum())
    (slope,) = torch.autograd.grad(found.sum(), model.net.constant)
    verify.equal("", "no slope", slope, 0.0)
