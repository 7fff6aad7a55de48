"""RealNVP on pictures: batches in training, constants in evaluation."""

import pytest
import torch
from support import randomize

from dgm_course import flows
from dgm_course.flows import BatchNorm, Channels, Checkerboard, Coupling

EPS = torch.finfo(torch.float64).eps


def batch(n=20, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, 4, 4, generator=generator, dtype=torch.float64)
    return 3 * x + 2


def test_training_normalizes_the_batch():
    layer, x = BatchNorm(3).double(), batch()
    z, ladj = layer(x)
    expected = torch.nn.functional.batch_norm(
        x, None, None, training=True, eps=layer.eps
    )
    torch.testing.assert_close(z, expected, rtol=1e-12, atol=1e-12)
    variance = x.var((0, 2, 3), correction=0)
    log_scale = -0.5 * (variance + layer.eps).log().sum()
    torch.testing.assert_close(ladj, (16 * log_scale).expand(20))


def test_averages_move_once_per_batch_and_in_training_alone():
    layer, x = BatchNorm(3, momentum=0.25).double(), batch()
    layer(x)
    mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
    torch.testing.assert_close(layer.mean, 0.25 * mean)
    torch.testing.assert_close(layer.variance, 0.75 + 0.25 * variance)
    before = layer.mean.clone()
    layer.inverse(x)
    layer.eval()(x)
    assert torch.equal(layer.mean, before)


def test_evaluation_is_an_exact_affine_map():
    """Rows do not see each other, and the inverse is the inverse."""
    layer = BatchNorm(3).double()
    for seed in range(50):
        layer(batch(seed=seed))
    layer.eval()
    x = batch(seed=99)
    z, ladj = layer(x)
    assert torch.equal(layer(x[:1])[0], z[:1])
    back, ladj_back = layer.inverse(z)
    assert (back - x).abs().max() <= 64 * EPS * x.abs().max()
    assert torch.equal(ladj, -ladj_back)
    # the averages have arrived: 0.95**50 of where they began is left
    assert z.mean().abs() < 0.5 and (z.std() - 1).abs() < 0.5


def test_gradients_pass_through_the_statistics():
    """In training the output does not depend on scale or shift of x."""
    layer = BatchNorm(3).double()
    scale = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    z, ladj = layer(batch() * scale + scale)
    (z.pow(3).mean() + ladj.mean()).backward()
    # d ladj / d log(scale) = -48; eps is beside a variance of 9
    assert scale.grad.item() == pytest.approx(-48, rel=1e-5)


def test_masks_of_each_scale():
    """Checkerboards that alternate, then channels, then checkerboards."""
    model = flows.realnvp_pictures((1, 28, 28), hidden=2)
    first, last = model.flow.flows[1].levels
    couplings = [f for f in first.flows if isinstance(f, Coupling)]
    boards, halves = couplings[:3], couplings[3:]
    assert all(isinstance(c.partition, Checkerboard) for c in boards)
    assert all(isinstance(c.partition, Channels) for c in halves)
    for group in (boards, halves):
        assert [c.partition.swap for c in group] == [False, True, False]
    ends = [f for f in last.flows if isinstance(f, Coupling)]
    assert len(ends) == 4
    assert all(isinstance(c.partition, Checkerboard) for c in ends)
    assert model.flow.flows[1].shapes == [(4, 14, 14), (2, 14, 14)]


def test_every_pixel_reaches_every_noise():
    """The last scale, where nothing is put aside, depends on all pixels."""
    model = flows.realnvp_pictures((1, 8, 8), hidden=4, preprocess=None)
    randomize(model).double().eval()
    x = torch.full((1, 1, 8, 8), 99.0).double().requires_grad_()
    model.flow(x)[0][0, -1].backward()
    assert (x.grad != 0).all()
