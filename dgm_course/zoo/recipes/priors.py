"""Chapter 9: priors fitted to the codes of one VAE, which stays as it is.

With encoder and decoder fixed, the ELBO depends on the prior through
E_q(z|x) log p(z) alone. That is what is trained here, on the posteriors of
training digits that were binarized once. The last recipe trains a VampPrior
together with its VAE.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ... import data
from ...flows import realnvp
from ...nn import Borrowed
from ...vae import (
    VAE,
    MixtureOfGaussians,
    Objective,
    VampPrior,
    binarize,
    encode_all,
    mlp_vae,
)
from ...vae.model import Prior
from ..measures import binary_digits, each, grey_digits, metric, paired
from ..recipe import Metrics, Recipe
from ..store import load
from . import vae as chapter_8

BASE = "mnist_vae_10"
COMPONENTS = 500


class FittedPrior(nn.Module):
    """A prior, with the VAE whose codes it is fitted to.

    The VAE is used, not owned: its weights are those of the zoo, and are
    neither trained nor stored with the prior.

    Args:
        prior: p(z), trained.
        vae: A trained VAE, fixed.
    """

    def __init__(self, prior: nn.Module, vae: VAE) -> None:
        super().__init__()
        self.prior: Any = prior
        self.vae = Borrowed(vae)

    def log_prob(self, z: Tensor) -> Tensor:
        """Log p(z) in nats: (B, d) to (B,)."""
        return self.prior.log_prob(z)

    def sample(self, n: int, temperature: float = 1.0) -> Tensor:
        """Draw codes (n, d)."""
        return self.prior.sample(n, temperature=temperature)


def loss(model: FittedPrior, batch: list[Tensor], step: int) -> Tensor:
    """-log p(z) in nats, with one z from each posterior, (B,)."""
    mean, log_std = batch
    return -model.log_prob(mean + log_std.exp() * torch.randn_like(mean))


def first_digits(n: int) -> Tensor:
    """Grey values in [0, 1] of bundled training digits."""
    return data.mnist("train", full=False).images[:n] / 255


def codes() -> list[Tensor]:
    """Means and log-scales of the posteriors of the training digits."""
    vae: Any = load(BASE)
    return list(encode_all(vae, binary_digits("train")))


def mixture() -> nn.Module:
    """500 Gaussians with equal weights, means and scales free."""
    vae: Any = load(BASE)
    return FittedPrior(MixtureOfGaussians(vae.posterior.dim, COMPONENTS), vae)


def vamp() -> nn.Module:
    """500 pseudo-inputs, which start as grey training digits."""
    vae: Any = load(BASE)
    start = first_digits(COMPONENTS)
    return FittedPrior(VampPrior(vae.encoder, vae.posterior, start), vae)


def flow() -> nn.Module:
    """RealNVP on the codes, six affine couplings."""
    vae: Any = load(BASE)
    return FittedPrior(realnvp(vae.posterior.dim, 6, hidden=(64, 64)), vae)


def joint() -> VAE:
    """A VAE with a VampPrior of its own, 200 pseudo-inputs."""
    model: Any = mlp_vae(10)
    start = first_digits(200)
    model.prior = VampPrior(model.encoder, model.posterior, start)
    return model


@torch.no_grad()
def judge(vae: Any, prior: Prior, x: Tensor, where: str) -> Metrics:
    """ELBO of a VAE with another prior, and its gain over the VAE's own.

    Both priors are judged at the same codes, so the gain is far less noisy
    than the two ELBOs.
    """
    normal = vae.prior

    def terms(some: Tensor) -> Tensor:
        h = vae.encode(some)
        z, _ = vae.posterior.rsample_and_log_prob(h)
        log_x = vae.likelihood.log_prob(some, vae.decoder(z))
        kl = vae.posterior.kl_to_standard_normal(h).sum(1)
        gain = prior.log_prob(z) - normal.log_prob(z)
        own = (log_x - kl).double()
        return torch.stack([own, own + gain], 1)

    own, elbo = each(terms, x).unbind(1)
    return {
        f"elbo, {where}": metric(elbo),
        f"gain, {where}": paired(elbo, own),
    }


def evaluate(model: Any) -> Metrics:
    """The bundled 2,000 test digits."""
    x = binary_digits("test", full=False)
    return judge(model.vae.network, model, x, "test, bundled 2,000")


def evaluate_full(model: Any) -> Metrics:
    """All digits, training and test."""
    metrics: Metrics = {}
    for split in ("train", "test"):
        x = binary_digits(split, full=True)
        metrics |= judge(model.vae.network, model, x, split)
    return metrics


def _recipe(
    name: str, summary: str, build: Callable[[], nn.Module], lr: float = 3e-3
) -> Recipe:
    return Recipe(
        name=f"{BASE}_{name}",
        chapter=9,
        summary=summary,
        split=f"codes of {BASE}, MNIST train binarized once",
        build=build,
        data=codes,
        evaluate=evaluate,
        evaluate_full=evaluate_full,
        steps={"smoke": 5, "read": 500, "full": 6_000},
        options={"lr": lr, "cosine": True, "batch_size": 500},
        loss=loss,
    )


RECIPES = [
    _recipe("mixture", "mixture of 500 Gaussians as a prior", mixture),
    # the logits of pixels have far to go
    _recipe("vamp", "VampPrior with 500 pseudo-inputs", vamp, lr=0.1),
    _recipe("flow", "RealNVP as a prior", flow),
    Recipe(
        name="mnist_vae_10_joint",
        chapter=9,
        summary="VAE trained together with a VampPrior",
        split="MNIST train, binarized anew in each epoch",
        build=joint,
        data=grey_digits,
        evaluate=chapter_8.evaluate,
        evaluate_full=chapter_8.evaluate_full,
        steps={"smoke": 10, "read": 3_000, "full": 200_000},
        options=chapter_8.TRAINING | {"bf16": True},
        loss=Objective(prepare=binarize),
        ship=False,
    ),
]
