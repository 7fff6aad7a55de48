import math

import pytest
import torch

from dgm_course import verify
from dgm_course.data import mnist
from dgm_course.flows import realnvp
from dgm_course.training import evaluate, fit
from dgm_course.vae import Objective, binarize, mlp_vae


def small():
    torch.manual_seed(0)
    model = mlp_vae(3, hidden=(8,), shape=(1, 2, 2)).double()
    return model, torch.randint(0, 2, (6, 1, 2, 2), dtype=torch.uint8)


def seeded(function, seed=7):
    torch.manual_seed(seed)
    return function()


@pytest.mark.parametrize("value", [0, 1, 100, 254, 255])
def test_a_pixel_is_one_with_its_grey_value_as_probability(value):
    pixels = torch.full((50_000,), value, dtype=torch.uint8)
    bits = binarize(pixels)
    assert bits.dtype == torch.uint8
    verify.expectation("", "grey", bits, value / 255)


def test_stochastic_is_drawn_anew_and_fixed_is_fixed():
    pixels = torch.full((1000,), 128, dtype=torch.uint8)
    assert not torch.equal(binarize(pixels), binarize(pixels))
    assert torch.equal(binarize(pixels, seed=3), binarize(pixels, seed=3))
    assert not torch.equal(binarize(pixels, seed=3), binarize(pixels, seed=4))
    state = torch.get_rng_state()
    binarize(pixels, seed=3)
    assert torch.equal(state, torch.get_rng_state())


def test_only_bytes_are_binarized():
    with pytest.raises(ValueError, match="uint8"):
        binarize(torch.rand(3))


def test_the_plain_objective_is_the_negative_elbo():
    model, x = small()
    loss = seeded(lambda: Objective()(model, x, 0))
    assert torch.equal(loss, -seeded(lambda: model.elbo(x)))


def test_beta_and_warmup_weigh_the_kl():
    model, x = small()
    parts = seeded(lambda: model.parts(x))
    for step, weight in [(0, 0.4), (4, 2.0), (9, 4.0), (10, 4.0), (99, 4.0)]:
        objective = Objective(beta=4.0, warmup=10)
        loss = seeded(lambda: objective(model, x, step))  # noqa: B023
        truth = weight * parts.kl - parts.reconstruction
        verify.equal("", "loss", loss, truth)


def test_free_bits_follow_the_formula_and_stop_the_gradient():
    model, x = small()
    with torch.no_grad():  # two informative dimensions, one idle
        last = model.encoder[1][-1]
        last.weight[:2] *= 20
        last.weight[2], last.bias[2] = 0, 0.1
        last.weight[5], last.bias[5] = 0, 0
    parts = seeded(lambda: model.parts(x))
    groups = parts.kl_groups.mean(0)
    assert groups[2] < 0.2 < groups[:2].min()
    loss = seeded(lambda: Objective(free_bits=0.2)(model, x, 0)).mean()
    truth = groups.clamp(min=0.2).sum() - parts.reconstruction.mean()
    verify.equal("", "loss", loss, truth)
    parameters = list(model.parameters())
    for one, two in zip(
        torch.autograd.grad(loss, parameters),
        torch.autograd.grad(truth, parameters),
    ):
        verify.equal("", "gradient", one, two)


def test_without_free_bits_an_estimated_kl_may_be_negative():
    """The gradient of a sampled KL is never dropped by accident."""
    torch.manual_seed(0)
    prior = realnvp(2, layers=2, hidden=(8,)).double()
    model = mlp_vae(2, prior, hidden=(8,), shape=(1, 2, 2)).double()
    x, below = torch.ones(2, 1, 2, 2, dtype=torch.uint8), 0
    for seed in range(20):
        loss = seeded(lambda: Objective()(model, x, 0), seed).mean()
        parts = seeded(lambda: model.parts(x), seed)
        below += bool(parts.kl.mean() < 0)
        verify.equal("", "loss = -ELBO", loss, -parts.elbo.mean())
    assert below > 0


def test_what_is_reported_is_the_elbo():
    model, x = small()
    odd = Objective(beta=0.1, warmup=1000, free_bits=5.0)
    found = evaluate(model, x, odd)
    assert found == evaluate(model, x, Objective())
    assert found == evaluate(model, x)


def test_training_lowers_the_loss():
    torch.manual_seed(0)
    x = mnist().images[:2000]
    model = mlp_vae(2, hidden=(32,))
    objective = Objective(prepare=binarize, warmup=10)
    fit(model, x, objective, steps=60, lr=3e-3, device="cpu", progress=False)
    # pixels that are 0 or 1 with equal probability cost 784 log 2 nats
    assert evaluate(model, x, objective)[0] < 784 * math.log(2) / 2
