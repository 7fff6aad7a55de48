"""RevNet, ResNet and i-RevNet: sizes of the papers, inversion, gradients."""

import pytest
import torch
from torch import nn

from dgm_course.reversible import IRevNet, ResNet, RevNet


# Gomez et al. (2017), table 1: millions of parameters
@pytest.mark.parametrize(
    ("network", "depth", "millions"),
    [
        (ResNet, 32, 0.46),
        (RevNet, 38, 0.46),
        (ResNet, 110, 1.73),
        (RevNet, 110, 1.73),
        (ResNet, 164, 1.70),
        (RevNet, 164, 1.75),
    ],
)
def test_networks_of_the_paper(network, depth, millions):
    with torch.device("meta"):
        model = network.of_depth(depth)
    count = sum(p.numel() for p in model.parameters())
    assert round(count / 1e6, 2) == millions
    # projections stand beside the layers that the paper counts
    convolutions = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d) and "shortcut" not in name
    ]
    assert len(convolutions) + 1 == depth


def little(**options):
    torch.manual_seed(0)
    return RevNet((3, 2), (4, 8), channels=1, classes=3, **options).double()


@pytest.mark.parametrize("bottleneck", [False, True])
def test_revnet_has_the_gradients_of_autograd(bottleneck):
    x = torch.randn(4, 1, 6, 7, dtype=torch.float64)
    plain, ours = little(bottleneck=bottleneck), little(bottleneck=bottleneck)
    plain.store = True
    assert plain.store and not ours.store
    for model in (plain, ours):
        model(x).logsumexp(1).sum().backward()
    for (name, p), q in zip(plain.named_parameters(), ours.parameters()):
        size = max(1.0, p.grad.norm().item())
        assert (p.grad - q.grad).norm() <= 1e-12 * size, name
    for p, q in zip(plain.buffers(), ours.buffers()):
        assert torch.equal(p, q)


def test_sums_stay_in_float32_under_autocast():
    """Added in bfloat16, a residual could not be taken away exactly."""
    torch.manual_seed(0)
    model = RevNet((3, 2), (4, 8), channels=1)
    seen = []
    for layer in model.layers[1:]:
        layer.register_forward_pre_hook(lambda _, x: seen.append(x[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        model(torch.randn(4, 1, 6, 6))
    assert set(seen) == {torch.float32}


@pytest.mark.parametrize("network", [ResNet, RevNet])
@pytest.mark.parametrize("size", [(1, 28, 28), (3, 32, 32)])
def test_any_picture_goes_in(network, size):
    model = network((1, 1, 1), (4, 8, 8), channels=size[0])
    assert model(torch.randn(2, *size)).shape == (2, 10)


def irevnet(padding=0, **options):
    torch.manual_seed(0)
    shape, sizes = (1, 8, 8), ((2, 2), (4, 6))
    model = IRevNet(shape, *sizes, padding, classes=3, **options)
    return model.double()


@pytest.mark.parametrize("padding", [0, 4])
def test_pictures_come_back_from_features(padding):
    model = irevnet(padding).eval()
    x = torch.randn(5, 1, 8, 8, dtype=torch.float64)
    features = model.features(x)
    assert features.shape[1:] == model.width == (16 + 4 * padding, 2, 2)
    torch.testing.assert_close(model.invert(features), x, rtol=0, atol=1e-11)
    assert torch.equal(model(x), model.project(features))


def test_no_network_normalizes_the_added_zeros():
    """A constant divided by nearly nothing: no picture would come back."""
    model = irevnet(4).float().train()
    for _ in range(100):  # the first statistics are forgotten
        model(torch.randn(20, 1, 8, 8))
    for name, statistic in model.named_buffers():
        if name.endswith("running_var"):
            assert statistic.min() > 1e-2, name
    x = torch.randn(20, 1, 8, 8)
    back = model.eval().invert(model.features(x))
    assert (back - x).abs().max() < 1e-4


def test_injective_features_have_a_pseudo_inverse():
    """S S^-1 S = S, and what no picture has is dropped."""
    model = irevnet(4).eval()
    x = torch.randn(5, 1, 8, 8, dtype=torch.float64)
    features = model.features(x)
    again = model.features(model.invert(features))
    torch.testing.assert_close(again, features, rtol=0, atol=1e-11)
    other = features + torch.randn_like(features)
    again = model.features(model.invert(other))
    assert (again - other).abs().max() > 0.1


def test_irevnet_has_the_gradients_of_autograd():
    x = torch.randn(4, 1, 8, 8, dtype=torch.float64)
    plain, ours = irevnet(store=True), irevnet()
    for model in (plain, ours):
        model(x).logsumexp(1).sum().backward()
    for p, q in zip(plain.parameters(), ours.parameters()):
        size = max(1.0, p.grad.norm().item())
        assert (p.grad - q.grad).norm() <= 1e-12 * size


def test_errors_say_what_was_expected():
    with pytest.raises(ValueError, match="one of 38, 110, 164"):
        RevNet.of_depth(50)
    with pytest.raises(ValueError, match="even numbers"):
        RevNet((1,), (5,))
    with pytest.raises(ValueError, match="one width for each stage"):
        ResNet((1, 1), (4,))
    with pytest.raises(ValueError, match="even height and width"):
        IRevNet((1, 6, 6), (1, 1), (4, 4))
    with pytest.raises(ValueError, match="padding = 3: expected an even"):
        irevnet(3)
    with pytest.raises(ValueError, match="use padding = 0"):
        irevnet(4).flow()
    with pytest.raises(ValueError, match=r"expected \(B, 1, 8, 8\)"):
        irevnet()(torch.randn(2, 1, 4, 4))
    with pytest.raises(ValueError, match=r"expected \(B, 16, 2, 2\)"):
        irevnet().invert(torch.randn(2, 1, 4, 4))
