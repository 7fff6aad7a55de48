"""Priors that are fitted to the codes of a VAE that stays as it is."""

import pytest
import torch

from dgm_course import verify, zoo
from dgm_course.training import fit
from dgm_course.zoo.recipes import priors
from dgm_course.zoo.recipes import vae as vae_recipes
from dgm_course.zoo.recipes.vae import binary_digits

NAMES = ["mnist_vae_10_mixture", "mnist_vae_10_vamp", "mnist_vae_10_flow"]


@pytest.mark.parametrize("name", NAMES)
def test_the_vae_is_used_and_neither_trained_nor_stored(name):
    torch.manual_seed(0)
    recipe = zoo.recipe(name)
    model = recipe.build()
    vae = model.vae.network
    before = [p.clone() for p in vae.parameters()]
    own = [p.clone() for p in model.parameters()]
    codes = [part[:200] for part in priors.codes()]
    fit(model, codes, recipe.loss, steps=2, device="cpu", progress=False)
    assert all(map(torch.equal, before, vae.parameters()))
    assert not any(map(torch.equal, own, model.parameters()))
    assert all(key.startswith("prior.") for key in model.state_dict())
    model.double()
    assert next(vae.parameters()).dtype == torch.float64
    assert model.log_prob(model.sample(3)).dtype == torch.float64


def test_the_loss_is_that_of_a_draw_from_each_posterior():
    class Line(torch.nn.Module):
        def log_prob(self, z):
            return z.sum(1)

    mean, log_std = torch.randn(7, 3), torch.randn(7, 3)
    torch.manual_seed(1)
    z = torch.distributions.Normal(mean, log_std.exp()).rsample()
    torch.manual_seed(1)
    loss = priors.loss(Line(), [mean, log_std], 0)
    verify.equal("", "loss", loss, -z.sum(1))


def test_the_vaes_own_prior_gains_nothing():
    vae = zoo.load(priors.BASE)
    x = binary_digits("test", full=False)[:500]
    torch.manual_seed(0)
    found = priors.judge(vae, vae.prior, x, "here")
    assert found["gain, here"].mean == 0
    with torch.no_grad():
        elbo = torch.stack([vae.elbo(x) for _ in range(20)]).mean(0)
    # both are means over the same digits: the noise is that of z alone
    mean, se = verify.mean_and_se(elbo)
    assert abs(found["elbo, here"].mean - mean) < se


def test_a_known_gain_is_found():
    class Heavier(torch.nn.Module):
        def log_prob(self, z):
            return vae.prior.log_prob(z) + 1.5

    vae = zoo.load(priors.BASE)
    x = binary_digits("test", full=False)[:100]
    gain = priors.judge(vae, Heavier(), x, "here")["gain, here"]
    verify.equal("", "gain", gain.mean, torch.tensor(1.5))


def test_a_judgement_leaves_the_prior_as_it_was(monkeypatch):
    """Another prior is tried on the model, and taken away again."""
    monkeypatch.setattr(
        vae_recipes,
        "binary_digits",
        lambda split, full: binary_digits(split, False)[:20],
    )
    model = zoo.load(priors.BASE)
    before = model.prior
    metrics = vae_recipes.evaluate_full(model)
    assert model.prior is before
    assert metrics["elbo, test, prior q(z)"] != metrics["elbo, test"]
