"""Chapter 10: posteriors, and a prior, around one decoder that stays as it is.

Encoder and posterior start as those of a trained VAE, since each flow starts
as the identity, and are trained on. The decoder is used as it is, so all
models with the prior N(0, I) have one log p(x), and differ in their bounds.
The control is the diagonal Gaussian, trained on just as long.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ...flows import AffineCoupling, Compose, Planar, Sylvester, maf
from ...nn import Borrowed
from ...vae import (
    VAE,
    DiagonalGaussian,
    FlowPosterior,
    Objective,
    Posterior,
    binarize,
    encoder_outputs,
    iaf_posterior,
    mlp_vae,
    output_weights,
    posterior_gaps,
)
from ...vae.model import Prior
from ..measures import binary_digits, each, grey_digits, metric, paired
from ..recipe import Metrics, Recipe
from ..store import load

BASE = "mnist_vae_10"
CONTEXT, STEPS, HIDDEN = 64, 4, (64, 64)


def around(posterior: Posterior, prior: Prior | None = None) -> VAE:
    """A VAE with the decoder of the zoo, and an encoder that starts there.

    The first outputs of the encoder, mean and scale, are those of the zoo; the
    context is new.
    """
    base: Any = load(BASE)
    encoder: Any = mlp_vae(10).encoder
    encoder.load_state_dict(base.encoder.state_dict())
    network = encoder[1]
    old = network[-1]
    network[-1] = nn.Linear(old.in_features, posterior.inputs)
    with torch.no_grad():
        network[-1].weight[: old.out_features] = old.weight
        network[-1].bias[: old.out_features] = old.bias
    return VAE(encoder, Borrowed(base.decoder), posterior, prior)


def gaussian() -> VAE:
    """The control: the posterior of the base, trained on."""
    return around(DiagonalGaussian(10))


def planar() -> VAE:
    """Eight planar maps."""
    flow = Compose(*[Planar(10, CONTEXT) for _ in range(8)])
    return around(FlowPosterior(flow, 10, CONTEXT))


def sylvester() -> VAE:
    """Four Sylvester maps with all ten directions."""
    flow = Compose(*[Sylvester(10, 10, CONTEXT) for _ in range(STEPS)])
    return around(FlowPosterior(flow, 10, CONTEXT))


def coupling() -> VAE:
    """Four affine couplings, alternating between the halves."""
    parts = [
        AffineCoupling(10, HIDDEN, bool(i % 2), CONTEXT) for i in range(STEPS)
    ]
    return around(FlowPosterior(Compose(*parts), 10, CONTEXT))


def iaf() -> VAE:
    """Four steps of inverse autoregressive flow, the order turned between."""
    return around(iaf_posterior(10, STEPS, HIDDEN, CONTEXT))


def af_prior() -> VAE:
    """A Gaussian posterior, and an autoregressive flow as the prior."""
    return around(DiagonalGaussian(10), maf(10, STEPS, HIDDEN))


def evaluate(model: Any) -> Metrics:
    """The bundled 2,000 test digits, beside the VAE of the zoo."""
    base: Any = load(BASE)
    x = binary_digits("test", full=False)
    own, other = (each(m.elbo, x).double() for m in (model, base))
    where = "test, bundled 2,000"
    return {
        f"elbo, {where}": metric(own),
        f"elbo less that of {BASE}, {where}": paired(own, other),
    }


def evaluate_full(model: Any) -> Metrics:
    """All test digits, and bounds of log p(x) with the two gaps."""
    x = binary_digits("test", full=True)
    metrics = {"elbo, test": metric(each(model.elbo, x))}
    return metrics | bounds(model) | tuned(model)


def bounds(model: VAE, k: int = 200) -> Metrics:
    """Importance-weighted bounds of 500 bundled test digits."""
    torch.manual_seed(0)  # the same, whatever was measured before
    base: Any = load(BASE)
    x = binary_digits("test", full=False)[::4]

    def bound(one: VAE) -> Tensor:
        weights = output_weights(one, x, encoder_outputs(one, x), k)
        return weights.logsumexp(1).double() - math.log(k)

    own, other = bound(model), bound(base)
    where = f"bound, k = {k}, 500 test digits"
    return {
        where: metric(own),
        f"{where}, less that of {BASE}": paired(own, other),
    }


def tuned(model: VAE, k: int = 500) -> Metrics:
    """The two gaps, for 100 bundled test digits.

    The gap ends at the best importance-weighted bound of this model: what no
    posterior of the family has found is missing in it.
    """
    torch.manual_seed(0)
    x, where = binary_digits("test", full=False)[::20], "100 test digits"
    candidates = encoder_outputs(model, binary_digits("train", full=False))
    found = posterior_gaps(model, x, candidates, k, steps=200)
    names = ("elbo", f"bound, k = {k}", "tuned elbo", f"tuned bound, k = {k}")
    values = dict(zip(names, found))
    values["amortization gap"] = found.amortization
    values["approximation gap"] = found.approximation
    return {f"{name}, {where}": metric(v) for name, v in values.items()}


def _recipe(
    name: str, summary: str, build: Callable[[], VAE], ship: bool = False
) -> Recipe:
    return Recipe(
        name=f"{BASE}_{name}",
        chapter=10,
        summary=f"{summary}; decoder of {BASE}, fixed",
        split="MNIST train, binarized anew in each epoch",
        build=build,
        data=grey_digits,
        evaluate=evaluate,
        evaluate_full=evaluate_full,
        steps={"smoke": 5, "read": 500, "full": 1_500},
        options={"lr": 1e-3, "cosine": True, "batch_size": 100},
        loss=Objective(prepare=binarize),
        ship=ship,
    )


RECIPES = [
    _recipe("gaussian", "diagonal Gaussian, trained on", gaussian),
    _recipe("planar", "posterior of 8 planar maps", planar),
    _recipe("sylvester", "posterior of 4 Sylvester maps", sylvester),
    _recipe("coupling", "posterior of 4 affine couplings", coupling),
    _recipe("iaf", "posterior of 4 IAF steps", iaf, ship=True),
    _recipe("af_prior", "4 MAF layers as a prior", af_prior, ship=True),
]
