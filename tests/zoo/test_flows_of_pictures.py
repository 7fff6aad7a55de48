"""Trained flows over pictures: what their cards promise, and inversion."""

import pytest
import torch

from dgm_course import data, verify, zoo
from dgm_course.dequantization import Uniform, inside
from dgm_course.zoo.recipes import pictures

TRAINED = [n for n, card in zoo.results() if n in zoo.names(2) and card.sha256]
PAIR = "fashion_glow_uniform", "fashion_glow_variational"


def clothes(n):
    return data.fashion_mnist("test", full=False).images[:n]


def seen(name, n):
    """Test pictures of the kind that a model was trained on."""
    if name.startswith("mnist"):
        return data.mnist("test", full=False).images[:n]
    return clothes(n)


def test_learned_noise_gains_what_is_promised():
    """At least 0.05 bits/dim, and more than five standard errors."""
    metrics = zoo.card(PAIR[1]).metrics
    gains = [m for name, m in metrics.items() if name.startswith("gain over")]
    assert len(gains) == 2  # bundled and all test pictures
    for gain in gains:
        assert gain.mean >= 0.05 and gain.mean > 5 * gain.se


@pytest.mark.parametrize("name", TRAINED)
def test_the_importance_weighted_bound_is_tighter(name):
    gain = zoo.card(name).metrics["gain of k = 64 over 1, the same"]
    assert gain.mean > 5 * gain.se


def test_the_bound_increases_with_k():
    """On average: each step is a mean over the same pictures."""
    torch.manual_seed(0)
    model, x = zoo.load(PAIR[1]), clothes(20)
    with torch.no_grad():
        bounds = [model.iw_bound(x, k) for k in (1, 4, 16)]
    for low, high in zip(bounds, bounds[1:]):
        mean, se = verify.mean_and_se(high - low)
        assert mean > 2 * se


def test_the_pair_goes_on_from_one_flow():
    """With the same batches, steps and options: the noise alone differs."""
    start = zoo.load("fashion_glow").model.state_dict()
    one, other = map(zoo.recipe, PAIR)
    for recipe in (one, other):
        flow = recipe.build().model.state_dict()
        assert all(torch.equal(flow[key], start[key]) for key in start)
    assert (one.steps, one.options, one.seeds) == (
        other.steps,
        other.options,
        other.seeds,
    )
    assert isinstance(one.build().dequantizer, Uniform)
    # and the learned noise starts as uniform: one bound, up to rounding
    model, x = other.build(), clothes(40)
    with torch.no_grad():
        u, log_q = model.dequantizer(x.float())
    assert log_q.abs().max() < 0.05 and 0.4 < u.mean() < 0.6


def test_a_model_gains_nothing_over_itself():
    torch.manual_seed(0)
    with torch.no_grad():
        found = pictures.judge(
            data.fashion_mnist, "here", False, PAIR[0], zoo.load(PAIR[0])
        )
    gain = found[f"gain over {PAIR[0]}, here"]
    assert abs(gain.mean) < 5 * gain.se  # two draws of the noise
    assert found["elbo, here"].n == gain.n == 1000


@pytest.mark.parametrize("name", TRAINED)
@torch.no_grad()
def test_a_trained_flow_is_inverted_to_rounding(name):
    """All test pixels of 30 pictures come back as the right integers."""
    model, x = zoo.load(name), seen(name, 30)
    y = inside(x.float(), torch.rand(x.shape))
    back, _ = model.model.flow.inverse(model.model.flow(y)[0])
    assert (back.floor() == x).double().mean() >= 0.9999
    flow, y = model.model.flow.double(), y.double()
    assert (flow.inverse(flow(y)[0])[0] - y).abs().max() < 1e-8


@pytest.mark.parametrize("name", TRAINED)
def test_samples_are_pixels(name):
    torch.manual_seed(0)
    samples = zoo.load(name).sample(20)
    assert samples.shape == (20, 1, 28, 28)
    assert samples.dtype == torch.int64
    assert samples.min() >= 0 and samples.max() <= 255
    assert len(samples.unique()) > 100
