"""Glow's layers: what the first batch sets, what LU keeps."""

import pytest
import torch
from support import randomize

from dgm_course import flows
from dgm_course.flows import ActNorm, InvertibleConv

EPS = torch.finfo(torch.float64).eps


def batch(n=20, seed=0):
    """Pictures whose channels have other means and scales."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 3, 4, 4, generator=generator, dtype=torch.float64)
    scale = torch.tensor([0.1, 1.0, 50.0], dtype=torch.float64)
    return (x + 7) * scale[:, None, None]


def weights(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize("x", [batch(), batch()[:, :, 0, 0]])
def test_the_first_batch_is_normalized(x):
    z, ladj = ActNorm(3).double()(x)
    over = [d for d in range(x.ndim) if d != 1]
    # squares of numbers near 7 cancel to 1; 1e-6 is added to each variance
    assert z.mean(over).abs().max() < 1e-10
    variance = x.var(over, correction=0)
    expected = variance / (variance + 1e-6)
    torch.testing.assert_close(
        z.var(over, correction=0), expected, rtol=1e-8, atol=0
    )
    places = x[0, 0].numel()
    expected = -0.5 * places * (variance + 1e-6).log().sum()
    torch.testing.assert_close(ladj, expected.expand(len(x)))


def test_it_is_set_once_and_in_training_alone():
    layer = ActNorm(3).double()
    layer.eval()(batch())
    assert not layer.initialized and not layer.shift.any()
    layer.train()(batch())
    first = weights(layer)
    assert layer.initialized and layer.shift.all()
    layer(batch(seed=1))
    layer.inverse(batch(seed=1))
    assert same(first, weights(layer))


def test_loaded_weights_are_not_set_again():
    """Training goes on with another first batch."""
    trained = ActNorm(3).double()
    trained(batch())
    loaded = ActNorm(3).double()
    loaded.load_state_dict(trained.state_dict())
    loaded(batch(seed=1))
    assert same(weights(loaded), weights(trained))
    # but what was saved before the first batch still waits for one
    loaded.load_state_dict(ActNorm(3).state_dict())
    loaded(batch(seed=1))
    assert not same(weights(loaded), weights(trained)) and loaded.initialized


def test_a_flag_that_is_not_saved_is_caught():
    class Forgetful(ActNorm):
        def __init__(self, channels):
            super().__init__(channels)
            flag = self.initialized
            del self.initialized
            self.register_buffer("initialized", flag, persistent=False)

    trained = Forgetful(3).double()
    trained(batch())
    loaded = Forgetful(3).double()
    loaded.load_state_dict(trained.state_dict())
    loaded(batch(seed=1))
    assert not same(weights(loaded), weights(trained))


def share(rank, store, path):
    """Each process sees half of the rows."""
    meeting = torch.distributed.FileStore(store, 2)
    torch.distributed.init_process_group(
        "gloo", store=meeting, rank=rank, world_size=2
    )
    layer = ActNorm(3).double()
    layer(batch().chunk(2)[rank])
    torch.save(layer.state_dict(), f"{path}{rank}")
    torch.distributed.destroy_process_group()


def test_processes_share_their_statistics(tmp_path):
    """Two processes with half of the batch each set what one would."""
    path = str(tmp_path / "state")
    torch.multiprocessing.spawn(
        share, (str(tmp_path / "store"), path), nprocs=2
    )
    alone = ActNorm(3).double()
    alone(batch())
    for rank in (0, 1):
        found = torch.load(f"{path}{rank}")
        torch.testing.assert_close(found, weights(alone), rtol=1e-9, atol=1e-9)


def test_a_new_convolution_is_a_rotation():
    layer = InvertibleConv(6).double()
    lower, upper = layer.factors()
    matrix = (lower @ upper)[layer.order]
    # six products and sums for each entry, after float32
    torch.testing.assert_close(
        matrix @ matrix.T, torch.eye(6).double(), rtol=0, atol=1e-5
    )
    assert not torch.equal(layer.order, torch.arange(6))


def test_the_factors_give_the_determinant_of_the_convolution():
    layer = randomize(InvertibleConv(5)).double()
    x = torch.randn(3, 5, 2, 4, dtype=torch.float64)
    z, ladj = layer(x)
    lower, upper = layer.factors()
    matrix = (lower @ upper)[layer.order]
    kernel = torch.nn.functional.conv2d(x, matrix[:, :, None, None])
    torch.testing.assert_close(z, kernel, rtol=1e-12, atol=1e-12)
    sign, logdet = matrix.slogdet()
    torch.testing.assert_close(ladj, (8 * logdet).expand(3))
    # no training can change the sign, nor the permutation
    swaps = torch.eye(5)[layer.order].det()
    assert sign == swaps * layer.sign.prod()


def test_autocast_rounds_networks_and_not_the_map():
    """In bfloat16, x + u would be the same number for most u."""
    layer, x = InvertibleConv(3), batch().float()
    z, ladj = layer(x)
    with torch.autocast("cpu", torch.bfloat16):
        again, ladj_again = layer(x)
    assert torch.equal(z, again) and torch.equal(ladj, ladj_again)
    coupling = randomize(flows.glow((1, 4, 4), steps=(1,), hidden=8)).flow
    with torch.autocast("cpu", torch.bfloat16):
        z, ladj = coupling(255 * torch.rand(2, 1, 4, 4))
    assert z.dtype == ladj.dtype == torch.float32


def test_a_new_glow_normalizes_and_rotates():
    """Couplings start as the identity, and a rotation keeps all lengths."""
    model = flows.glow((1, 8, 8), steps=(2,), hidden=8).double()
    x = 256 * torch.rand(50, 1, 8, 8, dtype=torch.float64)
    z, _ = model.flow(x)
    assert z.shape == (50, 64)
    # 1e-6 is added to variances near 1, and rotations come from float32
    assert abs(z.square().mean() - 1) < 1e-5
    layers = [part for part in model.modules() if type(part) is ActNorm]
    assert len(layers) == 2 and all(layer.initialized for layer in layers)


@pytest.mark.parametrize("size", [(1, 28, 28), (3, 32, 32)])
def test_models_of_pictures_know_the_density_of_their_samples(size):
    """All three families, at the sizes of the data sets."""
    for build in (
        lambda: flows.glow(size, steps=(1, 1), hidden=4),
        lambda: flows.realnvp_pictures(size, hidden=2, couplings=1),
        lambda: flows.flowpp(size, (1, 1, 1), 4, components=2, heads=2),
    ):
        model = randomize(build(), std=0.1).double().eval()
        with torch.no_grad():
            x, log_p = model.rsample_and_log_prob(2)
        assert x.shape == (2, *size)
        torch.testing.assert_close(
            model.log_prob(x), log_p, rtol=1e-9, atol=1e-6
        )


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match="3x3 cannot be squeezed"):
        flows.glow((1, 6, 6), steps=(1, 1))
