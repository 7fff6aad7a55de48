"""Flow++: its parts, and how exactly it is inverted."""

import pytest
import torch
from torch import nn

from dgm_course import data, flows
from dgm_course.dequantization import inside
from dgm_course.nn import SelfAttention


def pixels(n=20):
    """Dequantized pictures of clothes, in float32."""
    x = data.fashion_mnist("test", full=False).images[:n].float()
    return x, inside(x, torch.rand_like(x))


def moved(std=0.1, **options):
    """A flow that has seen a batch, with all parameters moved."""
    torch.manual_seed(0)
    model = flows.flowpp((1, 28, 28), channels=8, **options)
    model.log_prob(pixels()[1])
    for parameter in model.parameters():
        parameter.data += std * torch.randn_like(parameter)
    return model.eval()


@torch.no_grad()
def test_pictures_come_back_to_rounding_in_double():
    model, (_, y) = moved().double(), pixels()
    z, ladj = model.flow(y.double())
    back, ladj_back = model.flow.inverse(z)
    assert (back - y).abs().max() < 1e-8
    torch.testing.assert_close(ladj, -ladj_back, rtol=1e-9, atol=1e-6)


@torch.no_grad()
def test_pixels_come_back_as_integers_in_single():
    model, (x, y) = moved(), pixels()
    back, _ = model.flow.inverse(model.flow(y)[0])
    assert (back.floor() == x).double().mean() >= 0.9999


@torch.no_grad()
def test_the_inverse_knows_its_gradient():
    """Bisection has none; that of the analytic direction is put behind it."""
    model, (_, y) = moved().double(), pixels(2)
    z, _ = model.flow(y.double())
    direction = torch.randn(z.shape, dtype=torch.float64)
    with torch.enable_grad():
        z.requires_grad_()
        x, _ = model.flow.inverse(z)
        (x.flatten(1) * direction).sum().backward()
    step = 1e-5
    shift = torch.randn(z.shape, dtype=torch.float64)
    ahead, _ = model.flow.inverse(z + step * shift)
    behind, _ = model.flow.inverse(z - step * shift)
    slope = ((ahead - behind).flatten(1) * direction).sum() / (2 * step)
    found = (z.grad * shift).sum()
    torch.testing.assert_close(found, slope, rtol=1e-6, atol=1e-6)


def parts(model, kind):
    return [part for part in model.modules() if isinstance(part, kind)]


def conditionals(model):
    couplings = parts(model, flows.Coupling)
    return [type(coupling.conditional) for coupling in couplings]


def test_each_part_can_be_left_out():
    """What the ablation compares."""
    shape = (1, 8, 8)
    whole = flows.flowpp(shape, channels=8)
    assert set(conditionals(whole)) == {flows.Chain}
    assert len(parts(whole, SelfAttention)) == 9
    affine = flows.flowpp(shape, channels=8, components=0)
    assert set(conditionals(affine)) == {flows.ScaleShift}
    plain = flows.flowpp(shape, channels=8, heads=0)
    assert not parts(plain, SelfAttention)
    assert set(conditionals(plain)) == {flows.Chain}


def test_the_order_of_couplings_is_that_of_the_paper():
    model = flows.flowpp((1, 8, 8), (3, 2, 1), channels=8)
    layers = [f for f in model.flow.flows if not isinstance(f, flows.ActNorm)]
    names = [
        type(getattr(layer, "partition", layer)).__name__ for layer in layers
    ]
    rotated = ["InvertibleConv", "Channels"] * 2
    rotated += ["InvertibleConv", "PackedCheckerboard"]
    assert names == [
        "Logit",
        *["PackedCheckerboard"] * 3,
        "Squeeze",
        *rotated,
        "Flatten",
    ]


def test_dropout_is_for_training():
    model = flows.flowpp((1, 8, 8), channels=8, dropout=0.5)
    assert all(part.p == 0.5 for part in parts(model, nn.Dropout))
    x = 255 * torch.rand(4, 1, 8, 8)
    model.log_prob(x)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    assert (model.log_prob(x) != model.log_prob(x)).all()
    model.eval()
    assert torch.equal(model.log_prob(x), model.log_prob(x))


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match="7x7 cannot be squeezed"):
        flows.flowpp((1, 7, 7))
