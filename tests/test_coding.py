"""Files are read back exactly, and are as long as the likelihood says."""

import math
import sys
from importlib import reload

import numpy as np
import pytest
import torch
from support.pixel import MODELS as PICTURES

from dgm_course import coding, flows
from dgm_course.coding import codecs, stack
from dgm_course.dequantization import Dequantized
from dgm_course.vae import MixtureOfGaussians, mlp_vae
from dgm_course.verify import mean_and_se

WORD = 32  # an archive ends at a whole word


def randomized(model, std):
    """Give a model weights that are far from its start."""
    torch.manual_seed(3)
    for weights in model.parameters():
        torch.nn.init.normal_(weights, std=std)
    return model.double().eval()


def small_flow(dim=6):
    flow = flows.realnvp(dim, 4, (16,), preprocess=flows.Logit(256))
    return Dequantized(randomized(flow, 0.2))


def small_vae():
    return randomized(mlp_vae(2, hidden=(8,), shape=(12,)), 0.15)


def test_a_pop_undoes_its_push_and_a_push_its_pop():
    rng = np.random.default_rng(0)
    words = rng.integers(2**32, size=60, dtype=np.uint32)
    bits = stack.Stack(words)
    mean, std = rng.normal(0, 1e5, 9), rng.uniform(0.5, 3e6, 9)
    p = rng.uniform(size=9)
    k, b = bits.pop_normal(mean, std), bits.pop_binary(p)
    u = bits.pop_uniform(9, 20)
    assert not bits.holds_just(words)
    bits.push_uniform(u, 20)
    bits.push_binary(b, p)
    bits.push_normal(k, mean, std)
    assert bits.holds_just(words)
    bits.push_normal(k + 3, mean, std)
    assert (bits.pop_normal(mean, std) == k + 3).all()
    with pytest.raises(ValueError, match="value number 4 lies"):
        bits.push_normal(k + 10**9 * (np.arange(9) == 4), mean, std)


@pytest.mark.parametrize("std", [0.3, 40.0, 600.0, 3e4])
@pytest.mark.parametrize("reach", [stack.BORROWED, stack.REACH])
def test_what_is_read_lies_in_reach(std, reach):
    """The coder's smallest probability is far above a normal's tail."""
    rng, n = np.random.default_rng(2), 50_000
    bits = stack.Stack(rng.integers(2**32, size=2 * n, dtype=np.uint32))
    normal = np.full(n, 0.4), np.full(n, std)
    far = np.abs(bits.pop_normal(*normal, reach) - 0.4).max()
    assert far <= reach * std + 2 * 2 ** stack._low_bits(normal[1])
    if std > 100:  # and some of it far out
        assert far > 0.9 * reach * std


def test_what_is_borrowed_can_be_written_under_another_normal():
    """Read within 8 std, moved by half a reach, and written within 16."""
    rng, n = np.random.default_rng(3), 50_000
    bits = stack.Stack(rng.integers(2**32, size=2 * n, dtype=np.uint32))
    mean, std = np.zeros(n), np.full(n, 600.0)
    k = bits.pop_normal(mean, std, stack.BORROWED)
    for moved in (-7.9 * std, 7.9 * std):
        bits.push_normal(k, mean + moved, std)
        assert (bits.pop_normal(mean + moved, std) == k).all()


@pytest.mark.parametrize("std", [0.3, 40.0, 3e4])
def test_a_normal_costs_its_entropy(std):
    """Also where it is so wide that it is coded in two pieces."""
    rng, n = np.random.default_rng(1), 4000
    k = np.rint(rng.normal(0.4, std, n)).astype(np.int64)
    edges = torch.from_numpy(np.stack([k - 0.5, k + 0.5]))
    low, high = torch.distributions.Normal(0.4, std).cdf(edges)
    ideal = -(high - low).log2().sum().item()
    bits = stack.Stack(np.zeros(0, np.uint32))
    before = bits.bits
    bits.push_normal(k, np.full(n, 0.4), np.full(n, std))
    # the coder's probabilities are multiples of 2^-24, and each of the up to
    # 2^15 integers in reach gets at least one: 2^-9 of the mass
    assert abs(bits.bits - before - ideal) < WORD + n * 2**-8


def test_a_vae_costs_its_elbo():
    model = small_vae()
    torch.manual_seed(0)
    x = model.sample(1000)
    archive = coding.compress(model, x)
    assert torch.equal(coding.decompress(model, archive), x.long())
    # the posteriors that were drawn are one sample each of the ELBO's
    with torch.no_grad():
        elbos = model.parts(x, analytic=False).elbo / math.log(2)
    mean, se = mean_and_se(-elbos)
    error = archive.bits / len(x) - mean
    assert abs(error) < 5 * math.sqrt(2) * se + WORD / len(x) + 0.02


def test_a_dequantized_flow_costs_its_bound():
    model = small_flow()
    torch.manual_seed(0)
    x = torch.randint(256, (100, 6))
    archive = coding.compress(model, x)
    assert torch.equal(coding.decompress(model, archive), x)
    with torch.no_grad():
        bounds = torch.stack([model.elbo(x) for _ in range(50)])
    ideal = -bounds.mean(0).sum() / math.log(2)
    # u is one draw; Gaussian z and y given it are one draw each too
    noise = math.sqrt(bounds.var(0).sum() + 2 * x.numel() / 2) / math.log(2)
    assert abs(archive.bits - ideal) < 5 * noise + 2 * WORD


def test_what_bits_back_borrows_is_got_back():
    archive = coding.compress(small_vae(), torch.zeros(1, 12).long())
    assert archive.begun_with > 0
    # without it one code alone would cost log2(2^10 std of the prior) each
    assert archive.bits < 12 * 3 + 2 * 12


def test_an_archive_is_a_file():
    model = small_vae()
    x = torch.randint(2, (4, 12))
    archive = coding.compress(model, x, seed=5)
    data = archive.to_bytes()
    again = coding.Archive.from_bytes(data)
    assert torch.equal(coding.decompress(model, again), x)
    for broken in (b"", data[:7], data[:12], data[:20], data[:-1]):
        with pytest.raises(ValueError, match="no archive"):
            coding.Archive.from_bytes(broken)


def test_damage_and_another_model_are_noticed():
    model, x = small_vae(), torch.randint(2, (8, 12))
    archive = coding.compress(model, x)
    archive.words[len(archive.words) // 2] ^= 1 << 7
    with pytest.raises(ValueError, match="damaged"):
        coding.decompress(model, archive)
    other = randomized(mlp_vae(2, hidden=(9,), shape=(12,)), 0.15)
    with pytest.raises(ValueError, match="another model"):
        coding.decompress(other, coding.compress(model, x))


def test_clear_errors():
    with pytest.raises(ValueError, match=r"float32.*integers"):
        coding.compress(small_vae(), torch.zeros(2, 12))
    with pytest.raises(TypeError, match="no codec is known for a Linear"):
        coding.compress(torch.nn.Linear(2, 2), torch.zeros(2, 12).long())
    mixed = mlp_vae(2, MixtureOfGaussians(3, 2), hidden=(8,), shape=(12,))
    with pytest.raises(ValueError, match="has a MixtureOfGaussians"):
        coding.compress(mixed, torch.zeros(2, 12).long())
    logistic = Dequantized(flows.nice(4, hidden=(8,)))
    with pytest.raises(ValueError, match="base is a StandardLogistic"):
        coding.compress(logistic, torch.zeros(2, 4).long())
    with pytest.raises(ValueError, match="has Other noise"):
        Other = type("Other", (torch.nn.Module,), {})
        codecs.codec(Dequantized(small_flow().model, Other()), (6,))


def test_without_constriction_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(ImportError, match="pip install"):
        reload(stack)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_costs_its_likelihood(name):
    case = PICTURES[name]
    model = case.draw()
    context = case.context(1)
    codec = coding.Pixels(model, context)
    torch.manual_seed(0)
    known = None if context is None else context.expand(5)
    x = model.sample(5, known).long()
    archive = coding.compress(codec, x)
    assert torch.equal(coding.decompress(codec, archive), x)
    ideal = -model.log_prob(x, known).sum().item() / math.log(2)
    # a symbol that is nearly certain still costs its rounding
    assert abs(archive.bits - ideal) < 2 * WORD + x.numel() * 2**-10
    if context is None:
        again = coding.compress(model, x)
        assert again.words.tolist() == archive.words.tolist()
